// Says how long it has been up, in words that a package from npm chose.
const http = require("node:http");
const ms = require("ms");

const started = Date.now();
const server = http.createServer((request, answer) => {
  const up = ms(Date.now() - started, { long: true });
  answer.end(`Node.js ${process.version}, user ${process.getuid()}, up for ${up}\n`);
});
server.listen(process.env.PORT);
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(0));
