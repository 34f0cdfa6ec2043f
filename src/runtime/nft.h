/* nft.h - transactions with nf_tables over libmnl: all of it, or nothing, and the kernel's answer to each message. */
#ifndef RT_NFT_H
#define RT_NFT_H

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define RT_NFT_MSG_MAX 65536 /* what one message may take: the builder must know that it stays below */

struct rt_nft; /* one socket; one transaction at a time */

int rt_nft_open(struct rt_nft **ret, struct qt_err *e);
void rt_nft_close(struct rt_nft *n);

/* A transaction: begin, then any number of: msg, libnftnl's builder, done; then commit. Shortage of memory is told by commit; msg
 * never returns NULL. */
void rt_nft_begin(struct rt_nft *n);

/* A message NFT_MSG_* of family inet with FLAGS (NLM_F_*). WHAT is a literal for the error text. */
struct nlmsghdr *rt_nft_msg(struct rt_nft *n, uint16_t type, uint16_t flags, const char *what);
void rt_nft_msg_done(struct rt_nft *n, struct nlmsghdr *h);

/* 0 if the kernel took all of it. -1: it took nothing (EPROTO in e->sys: the answer was lost, it may have taken all). The error
 * names the first message that was refused; *RET_WHAT too, if not NULL and it is known. */
int rt_nft_commit(struct rt_nft *n, const char **ret_what, struct qt_err *e);

/* The transaction lacks something for want of memory: commit shall refuse it. */
void rt_nft_spoil(struct rt_nft *n);

/* Ask about TABLE, and with SET not NULL about that set or its elements; FLAGS is NLM_F_DUMP or 0. CB sees each answer with ARG. 1,
 * 0 if there is no such thing, -1. */
int rt_nft_ask(struct rt_nft *n, uint16_t type, uint16_t flags, const char *table, const char *set, mnl_cb_t cb, void *arg,
	       struct qt_err *e);

/* Has the kernel the elements in that set, a few of them? 1, 0 or -1. */
struct nftnl_set;
int rt_nft_has(struct rt_nft *n, struct nftnl_set *elements, struct qt_err *e);

#endif
