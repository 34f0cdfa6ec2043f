/* image.h - what a managed image says of itself: the file image.conf of its version (store.h). */
#ifndef RT_IMAGE_H
#define RT_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

#define RT_IMAGE_CONF_MAX 16384
#define RT_IMAGE_NAME_MAX 63
#define RT_IMAGE_HEX	  64
#define RT_IMAGE_MAX	  (RT_IMAGE_NAME_MAX + 1 + RT_IMAGE_HEX) /* of NAME@HEX */

struct rt_image {
	char name[RT_IMAGE_NAME_MAX + 1], version[64], digest[129], kind[17];
	char config[65], layer[65]; /* of its blobs, as digest without "sha256:"; "": made by an older quiltd, its root file system is the directory rootfs beside */
	char tree[129];		    /* digest of the list of its files */
	uint64_t size_bytes;
	char require[4096]; /* the contract: absolute paths of programs, NUL-separated and -ended */
	size_t require_len;
};

/* Letters, digits, '.', '_' and '-', not beginning with '.' or '-', at most RT_IMAGE_NAME_MAX: what can be a directory's name, and nothing else. */
bool rt_image_name_ok(const char *name);

/* NAME@HEX: one version of an image, HEX being 64 hexadecimal digits in lower case, of its manifest's digest. */
bool rt_image_version_ok(const char *text);
/* 64 hexadecimal digits in lower case? */
bool rt_image_hex_ok(const char *hex);

/* TEXT (LEN bytes, then a NUL) is changed while it is read. Lines `name = value`; '#' begins a comment; `require` may come again.
 * `name`, `version` and `kind` must be there. */
int rt_image_parse(struct rt_image *ret, char *text, size_t len, struct qt_err *e);

#endif
