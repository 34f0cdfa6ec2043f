/* What the settling of volumes, snapshots and images has in common. */
#include "cleanup.h"
#include "settle_in.h"

int qt_settle_counted(int r, unsigned *count, struct qt_err *e)
{
	static const enum qt_code raced[] = {QT_E_CONFLICT, QT_E_VOLUME_NOT_FOUND, QT_E_VOLUME_IN_USE, QT_E_SNAPSHOT_NOT_FOUND, QT_E_SNAPSHOT_IN_USE,
					     QT_E_SNAPSHOT_PINNED, QT_E_IMAGE_NOT_FOUND, QT_E_IMAGE_IN_USE};

	if (r == 0) {
		++*count;
		return 0;
	}
	for (size_t i = 0; i < QT_LEN(raced); i++) {
		if (e->code == raced[i]) {
			qt_err_reset(e);
			return 0;
		}
	}
	return -1;
}

int qt_settle_strays(struct qt_life *l, const struct qt_ids *here, struct qt_ids *known, qt_stray_fn fn, struct qt_settled *ret, struct qt_err *e)
{
	qt_ids_sort(known);
	for (size_t i = 0; i < here->n; i++)
		if (!qt_ids_have(known, &here->v[i]) && fn(l, &here->v[i], ret, e) < 0)
			return -1;
	return 0;
}
