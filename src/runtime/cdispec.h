/* cdispec.h - one CDI specification (Container Device Interface, github.com/cncf-tags/container-device-interface, SPEC.md) as we understand it. Pure:
 * a text becomes a struct, or an error that tells the line. */
#ifndef RT_CDISPEC_H
#define RT_CDISPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "tree.h"

#define RT_CDI_BYTES_MAX   (1U << 20) /* of a file */
#define RT_CDI_DEVICES_MAX 256	      /* of a specification */
#define RT_CDI_NAME_MAX	   127	      /* of "vendor.com/class=name" */

/* Paths are absolute, normal, without control characters, and shorter than RT_CDI_PATH. */
#define RT_CDI_PATH 512
struct rt_cdi_node { /* a character device */
	const char *path; /* in the container, below /dev, none of those that every container has */
	const char *host;
	bool numbered; /* then the host's node must be this one */
	uint32_t major, minor;
	char access[3]; /* "r", "w" or "rw" */
};
struct rt_cdi_mount { /* a file or directory of the host, to be read */
	const char *path, *host;
	bool noexec;
};
struct rt_cdi_link { /* of a create-symlinks hook: a link PATH that says TO */
	const char *path, *to;
};

/* What is to be changed in a container. */
struct rt_cdi_edits {
	struct rt_cdi_node *nodes;
	struct rt_cdi_mount *mounts;
	struct rt_cdi_link *links;
	const char **env; /* "NAME=value" */
	unsigned n_nodes, n_mounts, n_links, n_env;
};

struct rt_cdi_device {
	const char *name; /* "vendor.com/class=name" */
	struct rt_cdi_edits own;
	/* The rest is cdi.c's. */
	const struct rt_cdi_spec *spec;
	const struct rt_cdi_device *same; /* the name that counts, if this is another one of the same device */
	bool twice;
};

struct rt_cdi_spec {
	struct rt_arena arena; /* all of it */
	const char *kind;      /* "vendor.com/class" */
	struct rt_cdi_edits common;
	struct rt_cdi_device *devices;
	unsigned n_devices;
	char left_out[128]; /* hooks that nobody runs here, "" if none */
	unsigned priority;  /* of its directory: cdi.c */
};

/* VALIDATION_ERROR: the specification is not well-formed, or it asks for what is not done here, such as writable mounts and block devices. */
int rt_cdi_parse(struct rt_cdi_spec *ret, const char *text, size_t len, struct qt_err *e);
void rt_cdi_spec_done(struct rt_cdi_spec *s);

/* Is TEXT of the form vendor.com/class? And vendor.com/class=name? */
bool rt_cdi_kind_ok(const char *text);
bool rt_cdi_name_ok(const char *text);

#endif
