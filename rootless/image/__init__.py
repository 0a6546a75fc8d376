"""Images on their way: between registries, the store, archives and folders.

transport   Source and Sink, the two ends of a copy; Document and Event, what passes between them
copy        from any source to any sink: blobs by a few threads, one image or all of an index
registry    a registry's end                      store      the store's ends
pull        copy into the store, and unpack       obtain     is it here, or must it be pulled?
push        a copy that compresses what it must   folder     OCI layouts, and skopeo's dir
archives    what tars of images hold; load        save       images, or a folder, as such a tar
imports     an image of a plain tar of files      shelf, serve  the store as a registry
lists       indexes made by hand

Runs in the command's process. Whatever writes layers or reads them has entered the user namespace.
"""
