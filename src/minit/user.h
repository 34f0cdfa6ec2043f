/* user.h - whom an image wants its programs to run as. Pure, but for the reading of two files. */
#ifndef MI_USER_H
#define MI_USER_H

#include <stddef.h>
#include <stdint.h>

#define MI_GROUPS_MAX 32
#define MI_HOME_MAX   256
#define MI_PASSWD_MAX (1U << 20) /* of /etc/passwd and of /etc/group; a larger one is EFBIG */

struct mi_user {
	uint32_t uid, gid;
	uint32_t groups[MI_GROUPS_MAX]; /* further ones */
	uint32_t n_groups;
	char home[MI_HOME_MAX]; /* "": not known */
};

/* SPEC is a name or number, and may have ":group" behind it. Names are looked up in the texts PASSWD and GROUP, which are anybody's; numbers need not be
 * there. Without a group it is the one that passwd says, or 0, and the groups that list the user are its further ones. 0, ENOENT, or ERANGE
 * for a number above MI_ID_MAX. */
int mi_user_find(const char *spec, const char *passwd, size_t passwd_len, const char *group, size_t group_len, struct mi_user *ret);

/* The same, from /etc/passwd and /etc/group: regular files, not by a link; one that is not there is empty. */
int mi_user_look_up(const char *spec, struct mi_user *ret);

#endif
