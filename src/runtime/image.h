/* image.h - what an image says of itself: the file image.conf beside its root file system. */
#ifndef RT_IMAGE_H
#define RT_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

#define RT_IMAGE_CONF_MAX 16384

struct rt_image {
	char name[129], version[64], digest[129], kind[17];
	uint64_t size_bytes;
	char require[4096]; /* the contract: absolute paths of programs, NUL-separated and -ended */
	size_t require_len;
};

/* Letters, digits, '.', '_' and '-', not beginning with '.' or '-', at most 128: what can be a directory's name, and nothing else. */
bool rt_image_name_ok(const char *name);

/* TEXT (LEN bytes, then a NUL) is changed while it is read. Lines `name = value`; '#' begins a comment; `require` may come again.
 * `name`, `version` and `kind` must be there. */
int rt_image_parse(struct rt_image *ret, char *text, size_t len, struct qt_err *e);

#endif
