/* gpus.h - a container's GPUs: CDI names (cdi.h), each one's alone, kept in the journal. */
#ifndef RT_GPUS_H
#define RT_GPUS_H

#include "runtime.h"

/* May C (NULL: a new container) have the devices of LIST? Each is there, none is there twice, no other container has it, in whatever state that is:
 * VALIDATION_ERROR, CAPACITY_FULL. */
int rt_gpus_check(struct rt *rt, const struct rt_ctr *c, const struct rt_strv *list, struct qt_err *e);

/* What the specifications say that LIST needs, as the host has it now. UNAVAILABLE if a node or a file is not there. */
struct rt_gpus {
	struct rt_extra_node *nodes;
	struct rt_extra_file *files;
	struct rt_extra_link *links;
	struct rt_device devices[RT_DEVICES_MAX];
	const char **env;
	unsigned n_nodes, n_files, n_links, n_env;
	struct rt_arena arena; /* all of the above, texts too */
};
int rt_gpus_open(struct rt *rt, const struct rt_strv *list, struct rt_gpus *ret, struct qt_err *e);
void rt_gpus_close(struct rt_gpus *g);

/* ENV, and behind it what G sets and ENV does not, in the SIZE bytes at BUF. VALIDATION_ERROR if that is too much. */
int rt_gpus_env(const struct rt_gpus *g, const struct rt_strv *env, struct rt_strv *ret, char *buf, size_t size, struct qt_err *e);

#endif
