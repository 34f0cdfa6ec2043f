/* net_look.h - what the kernel's packet filter holds, seen with other eyes than the code under test. */
#ifndef NET_LOOK_H
#define NET_LOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "nft.h"

/* Packets that the first rule with comment NAME and a counter has seen. Fails the test if there is none. */
uint64_t look_counter(struct rt_nft *n, const char *table, const char *rule);

/* Wait until it has seen more than BEFORE: the proof that a packet met that rule. */
void look_wait(struct rt_nft *n, const char *table, const char *rule, uint64_t before);

unsigned look_elements(struct rt_nft *n, const char *table, const char *set); /* their number */
bool look_table(struct rt_nft *n, const char *table);			      /* is it there? */
void look_remove_table(struct rt_nft *n, const char *table);

#endif
