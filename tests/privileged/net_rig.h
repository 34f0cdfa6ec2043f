/* net_rig.h - one network for all tests of net_test: a namespace of this program's own, an uplink with the internet behind it, and boxes, which are
 * what containers are to the network. */
#ifndef NET_RIG_H
#define NET_RIG_H

#include "conf.h"
#include "net.h"
#include "net_look.h"
#include "net_peer.h"
#include "rtnl.h"

#define TABLE	 "qttest"
#define UPLINK	 "up0"
#define GATEWAY	 0xa9fe0101 /* 169.254.1.1 */
#define HOST_OUT 0xcb007101 /* 203.0.113.1: our end of the uplink */
#define SINK	 0xcb00710a /* 203.0.113.10: the other end plays the internet */
#define DNS	 0x0affff35 /* 10.255.255.53 lives there too */
#define METADATA 0xa9fea9fe
#define ELSEWHERE 0xc6336409 /* 198.51.100.9: nobody, behind the uplink */
#define LOOPS	 200
#define AT_ONCE	 20

extern struct qt_conf conf;
extern struct rt_net *net;
extern struct rt_nft *nft; /* to look with */
extern struct rt_rtnl *rt;
extern int sys_fd, own_ns;
extern struct peer sink;
extern struct qt_id ten_a, ten_b;

extern struct box {
	struct peer peer;
	struct rt_addr addr;
} a1, a2, b1;

/* The group's. */
int setup(void **state);
int teardown(void **state);

void ok(int r, const struct qt_err *e);
void net_open(void);
void set(const char *name, const char *value); /* of the settings, for the next net_open() */
int host_switch(const char *link, const char *name);
bool link_there(const char *name);
unsigned links_of_ours(void);
/* Namespaces die some time after their processes; those that connections keep alive lose their links to the reaper. */
void wait_for_links(unsigned n);
void elements_are(unsigned n);

void box_open(struct box *b, const struct qt_id *tenant);
void box_close(struct box *b);
void reaches(struct peer *p, uint32_t ip, uint16_t port);
/* By RULE, whose counter grows. FROM 0: the box's own address. */
void is_blocked(struct peer *p, uint32_t ip, uint16_t port, uint32_t from, const char *rule);
/* Addresses begin anywhere in the subnet: one that no box has. */
uint32_t unused(void);

/* net_life.c, in this order behind those of net_test.c: each finds what the one before it left. */
void mends_the_table(void **state);
void survives_a_restart(void **state);
void sweeps(void **state);
void detaches(void **state);
void lingering_namespaces(void **state);
void failures_leave_nothing(void **state);
void many_times(void **state);
void a_full_subnet(void **state);
void is_removed(void **state);
void other_uplinks(void **state);

#endif
