/* Operations on volumes. */
#include "cleanup.h"
#include "inner.h"

int qt_op_vol_delete(struct qt_life *l, struct qt_op *o, struct qt_err *e)
{
	const char *id = json_string_value(json_object_get(o->args, "volume_id"));
	auto_vol struct qt_vol v = {0};
	int r;

	if (!id)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the operation does not say which volume");
	json_object_set_new(o->result, "volume_id", json_string(id));
	json_object_set_new(o->result, "name", json_string(o->volume));
	r = qt_store_vol_get(l->store, &o->tenant, id, &v, e);
	if (r == 0)
		r = qt_op_go_on(l, o, e) < 0 ? -1 : qt_life_vol_delete(l, &v, e);
	/* Gone is gone: by an earlier try, or by somebody else. */
	if (r < 0 && e->code == QT_E_VOLUME_NOT_FOUND) {
		qt_err_reset(e);
		return 0;
	}
	return r;
}
