/* netfilter.h - which containers the packet filter knows: kept in step with the kernel, transaction by transaction. */
#ifndef RT_NETFILTER_H
#define RT_NETFILTER_H

#include <stdbool.h>

#include "id.h"
#include "netrules.h"

struct rt_filter;

/* Makes the table anew, without containers, by the rules R (copied; no_count and nothing else may be changed: see rt_filter_rules). A
 * kernel that lacks what the rules need is an error that says which rule it refuses. */
int rt_filter_open(struct rt_filter **ret, const struct rt_rules *r, struct qt_err *e);
void rt_filter_close(struct rt_filter *f); /* the table stays */
const struct rt_rules *rt_filter_rules(const struct rt_filter *f);

/* Let A send from its link, and to the other containers of TENANT. CONFLICT if the address is there already. A table that
 * somebody else has changed is made anew with everything that belongs into it. */
int rt_filter_add(struct rt_filter *f, const struct rt_addr *a, const struct qt_id *tenant, struct qt_err *e);

/* The reverse. Success if A is not there. On failure the kernel may still know A: ask again. */
int rt_filter_del(struct rt_filter *f, const struct rt_addr *a, struct qt_err *e);

/* Does the kernel know A? What somebody else did to our table shows here, and nowhere else. */
bool rt_filter_knows(struct rt_filter *f, const struct rt_addr *a);

/* As rt_filter_add(), and well with what is there; a table that lacks A is made anew with everything that belongs into it. */
int rt_filter_mend(struct rt_filter *f, const struct rt_addr *a, const struct qt_id *tenant, struct qt_err *e);

/* Compare the whole table with what it should be; one that somebody changed is made anew. 1 if it was, 0, or -1. */
int rt_filter_check(struct rt_filter *f, struct qt_err *e);

bool rt_filter_has(const struct rt_filter *f, const struct rt_addr *a);
unsigned rt_filter_count(const struct rt_filter *f);

int rt_filter_remove(struct rt_filter *f, struct qt_err *e); /* the table */

/* The note of a table of that name left by an earlier process; "" if there is none. */
int rt_filter_old_note(const char *table, char *out, struct qt_err *e);

#endif
