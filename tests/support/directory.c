/* A directory in the network, as LDAP or AD is one for sssd, that knows one user, ada: what passwd
 * says of her (libnss_away.so.2), and her subordinate ids (libsubid_away.so, shadow 4.9 and later).
 * UID and GID are given to the compiler.
 */
#include <errno.h>
#include <nss.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static enum nss_status ada(struct passwd *entry) {
    entry->pw_name = "ada";
    entry->pw_passwd = "x";
    entry->pw_uid = UID;
    entry->pw_gid = GID;
    entry->pw_gecos = "";
    entry->pw_dir = "/home/ada";
    entry->pw_shell = "/bin/sh";
    return NSS_STATUS_SUCCESS;
}

enum nss_status _nss_away_getpwuid_r(uid_t uid, struct passwd *entry, char *room, size_t size,
                                     int *number) {
    return uid == UID ? ada(entry) : NSS_STATUS_NOTFOUND;
}

enum nss_status _nss_away_getpwnam_r(const char *name, struct passwd *entry, char *room,
                                     size_t size, int *number) {
    return strcmp(name, "ada") ? NSS_STATUS_NOTFOUND : ada(entry);
}

struct subid_range {
    unsigned long start, count;
};
enum { FIRST = 100000, COUNT = 20000 };

int shadow_subid_has_range(const char *owner, unsigned long start, unsigned long count, int type,
                           bool *result) {
    *result = !strcmp(owner, "ada") && start >= FIRST && start + count <= FIRST + COUNT;
    return 0;
}

int shadow_subid_list_owner_ranges(const char *owner, int type, struct subid_range **ranges,
                                   int *count) {
    *count = 0;
    if (strcmp(owner, "ada"))
        return 0;
    *ranges = malloc(sizeof **ranges);
    (*ranges)->start = FIRST;
    (*ranges)->count = COUNT;
    *count = 1;
    return 0;
}

int shadow_subid_find_subid_owners(unsigned long id, int type, uid_t **uids, int *count) {
    *count = 0;
    return 0;
}
