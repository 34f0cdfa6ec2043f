/* rt_parts.h - the tests of rt_test that lie in other files. */
#ifndef RT_PARTS_H
#define RT_PARTS_H

#include "rt_rig.h"

/* rt_peers.c */
void roles_by_credentials(void **state);
void broken_peers_are_closed(void **state);
void watchers_are_told(void **state);

/* rt_deaths.c */
void containers_outlive_the_runtime(void **state);
void shutdown_ends_all(void **state);
void rotten_entry_is_set_aside(void **state);
void survives_every_fail_point(void **state); /* only with fail points */

/* rt_spares.c */
void a_spare_becomes_the_container(void **state);
void a_dead_spare_is_not_missed(void **state);
void spares_take_no_room(void **state);

#endif
