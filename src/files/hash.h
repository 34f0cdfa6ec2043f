/* hash.h - SHA-256 of what is unpacked, packed and kept. */
#ifndef FT_HASH_H
#define FT_HASH_H

#include "proto.h"

struct evp_md_ctx_st;

/* Once, before the program is locked in: what later no library can load. */
int ft_hash_init(struct qt_err *e);

struct evp_md_ctx_st *ft_hash_new(struct qt_err *e); /* NULL: no memory */
void ft_hash_end(struct evp_md_ctx_st *hash, char *hex); /* HEX has FT_SHA256 + 1 bytes */
void ft_hash_free(struct evp_md_ctx_st **hash);
#define auto_hash QT_AUTO(ft_hash_free) /* include cleanup.h */

/* All of the regular file FD, from its begin, into the hash, and to TO_FD, unless that is -1. SEEN, or NULL, hears how far it is. */
int ft_hash_file(struct evp_md_ctx_st *hash, int fd, int to_fd, void (*seen)(void *arg, uint64_t at), void *arg, uint64_t *ret_size, struct qt_err *e);

#endif
