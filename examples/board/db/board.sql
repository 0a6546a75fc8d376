CREATE TABLE notes (id serial PRIMARY KEY, text varchar NOT NULL)
