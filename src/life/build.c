#include <errno.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "builds.h"
#include "cleanup.h"
#include "contexts.h"
#include "files/proto.h"
#include "imgs.h"
#include "spool.h"
#include "str.h"

int qt_life_img_build(struct qt_life *l, const struct qt_id *tenant, const struct qt_build_want *w, struct qt_op *ret, int *ret_hold,
		      struct qt_err *e)
{
	struct qt_id image = qt_id_new("img");
	struct qt_imgref ref;
	char path[FT_PATH_MAX];
	struct qt_err why = {0};
	auto_close int fd = -1;

	if (qt_imgref_parse("/image_reference", w->reference, &ref, e) < 0)
		return -1;
	if (ref.digest[0])
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/image_reference", "[registry[:port]/]repository[:tag]", "what is to be built has no digest yet");
	if (ft_path(path, w->dockerfile[0] ? w->dockerfile : "Dockerfile", &why) < 0 || !path[0])
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/dockerfile_path", "a path inside the context", "the path of the Dockerfile is not acceptable");
	if (qt_life_fits(l, w->memory_mb, w->cpu_centi / 100.0, e) < 0 || qt_store_img_room(l->store, tenant, e) < 0)
		return -1;
	fd = qt_context_open(l->conf, tenant, w->context_id, e);
	if (fd < 0)
		return -1;
	/* As qt_spool_new() does it. Another build of the same context has it for a moment. */
	if (flock(fd, LOCK_EX) < 0)
		return qt_fail_sys(e, errno, "lock a build context");
	qt_op_init(ret);
	ret->id = qt_id_new("op");
	ret->tenant = *tenant;
	/* From here on it is the build's, whatever becomes of the context's own name. */
	if (qt_spool_keep(l->conf, fd, ret, e) < 0) {
		qt_op_done(ret);
		return -1;
	}
	ret->type = QT_OPT_IMG_BUILD;
	(void)qt_copy(ret->image, sizeof(ret->image), ref.text);
	json_object_update_new(ret->args, json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "image_id", image.s, "context_id", w->context_id, "dockerfile_path", path,
						    "target_stage", w->target, "memory_limit_mb", (json_int_t)w->memory_mb, "cpu_limit_centi",
						    (json_int_t)w->cpu_centi));
	json_object_set_new(ret->args, "build_args", w->args ? json_deep_copy(w->args) : json_object());
	*ret_hold = qt_take_fd(&fd);
	return 0;
}
