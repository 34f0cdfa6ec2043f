/* snap.h - what a snapshot is, and the words of its routes (contract 6). No I/O. */
#ifndef QT_SNAP_H
#define QT_SNAP_H

#include "fields.h"

/* The values of the requests, in the order of their words (NULL-ended). */
enum qt_consistency { QT_CRASH_CONSISTENT, QT_APP_CONSISTENT }; /* as enum rt_consistency */
enum qt_network_mode { QT_NET_RESET, QT_NET_PRESERVE_NS, QT_NET_PRESERVE_CONN };
enum qt_volume_mode { QT_VM_EXCLUDE, QT_VM_NAMED, QT_VM_ALL };
enum qt_resume_policy { QT_RESUME_MANUAL, QT_RESUME_IMMEDIATE };
extern const char *const qt_consistency_words[], *const qt_network_words[], *const qt_volume_words[], *const qt_resume_words[];

enum qt_snap_status { QT_SS_CREATING, QT_SS_READY };

/* A snapshot as Redis and the runtime's record hold it. It holds data, never policy: what a clone may have is asked when it is made. JSON
 * members are owned (never NULL after _init); times are milliseconds since 1970, 0 for none. */
struct qt_snap {
	struct qt_id id /* "snap" */, tenant, source;
	struct qt_id parent;		   /* the snapshot that the source was cloned from; s[0] == 0: none */
	char source_name[QT_NAME_MAX + 1]; /* at that time */
	char name[QT_NAME_MAX + 1];	   /* "": none */
	char node[40];
	enum qt_snap_status status;
	enum qt_consistency consistency;
	enum qt_network_mode network;
	enum qt_volume_mode volumes;
	bool pinned;
	bool unsaved;	      /* changed since the runtime's record was written */
	uint64_t ttl_s;	      /* 0: none */
	uint64_t size_bytes;
	int64_t created_ms, expires_ms;
	int64_t deadline_ms; /* in creating: when whoever makes it has failed */
	int64_t deleting_ms; /* when somebody began to delete it */
	json_t *labels;	     /* object of strings */
	json_t *captured;    /* object: name of each volume whose data is in it, to the volume's id then */
	json_t *spec;	     /* what a clone begins with: qt_ctr_spec() of the source */
};
extern const struct qt_mtable qt_snap_table;

void qt_snap_init(struct qt_snap *s);
void qt_snap_done(struct qt_snap *s);
#define auto_snap QT_AUTO(qt_snap_done) /* include cleanup.h */

/* The contract's record (6.2). A new reference. */
json_t *qt_snap_view(const struct qt_snap *s);

/* The runtime's record, and back: as a container's. */
char *qt_snap_dump(const struct qt_snap *s, struct qt_err *e); /* free() */
int qt_snap_load(struct qt_snap *ret, const char *text, size_t len, struct qt_err *e); /* RET is initialised here */

#endif
