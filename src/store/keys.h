/* keys.h - the names of keys that C spells; lua/keys.lua has those that the functions do, docs/redis-schema.md what they hold. */
#ifndef QT_KEYS_H
#define QT_KEYS_H

#include "id.h"

#define QT_KEY_MAX 160
struct qt_key {
	char s[QT_KEY_MAX];
};

/* The key that stands for the tenant's slot: "quilt:{ten_…}:ctrs". */
struct qt_key qt_key_tenant(const struct qt_id *tenant);
/* The same, for whom only terminal sessions concern: "quilt:{ten_…}:sessions". */
struct qt_key qt_key_sessions(const struct qt_id *tenant);
/* The stream of operations of a node. */
struct qt_key qt_key_node_ops(const char *node);
/* The channel on which the functions tell of every event (lua/events.lua). */
#define QT_CHANNEL_EVENTS "quilt:events"
/* The token bucket of an API key. */
struct qt_key qt_key_rate(const char *sha256);

#endif
