#include <stdlib.h>

#include "keys.h"
#include "str.h"

/* Ids, node names and digests are bounded by their types, so that a key that does not fit is a bug. */
static struct qt_key key(const char *head, const char *middle, const char *tail)
{
	struct qt_key k;

	if (!qt_fmt(k.s, sizeof(k.s), "%s%s%s", head, middle, tail))
		abort();
	return k;
}

struct qt_key qt_key_tenant(const struct qt_id *tenant)
{
	return key("quilt:{", tenant->s, "}:ctrs");
}

struct qt_key qt_key_sessions(const struct qt_id *tenant)
{
	return key("quilt:{", tenant->s, "}:sessions");
}

struct qt_key qt_key_node_ops(const char *node)
{
	return key("quilt:node:", node, ":ops");
}

struct qt_key qt_key_rate(const char *sha256)
{
	return key("quilt:rate:", sha256, "");
}
