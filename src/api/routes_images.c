/* routes_images.c - images out of registries (contract 14). */
#include <stddef.h>
#include <string.h>

#include "handlers.h"
#include "img.h"
#include "replies.h"

static int check_reference(const char *field, const char *name, const char *value, struct qt_err *e)
{
	struct qt_imgref ignored;

	(void)name;
	return qt_imgref_parse(field, value, &ignored, e);
}

/* "linux/arm64/v8": two or three plain words. */
static int check_platform(const char *field, const char *name, const char *value, struct qt_err *e)
{
	unsigned words = 1;
	size_t n;

	(void)name;
	for (const char *p = value;; p += n + 1, words++) {
		n = strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789._-");
		if (n == 0 || (p[n] != '/' && p[n] != '\0'))
			break;
		if (p[n] == '\0' && words >= 2 && words <= 3)
			return 0;
		if (p[n] == '\0')
			break;
	}
	return qt_fail_field(e, QT_E_VALIDATION_ERROR, field, "os/architecture or os/architecture/variant", "the platform is not acceptable");
}

/* It goes into "user:password". */
static int check_user(const char *field, const char *name, const char *value, struct qt_err *e)
{
	(void)name;
	return strchr(value, ':') ? qt_fail_field(e, QT_E_VALIDATION_ERROR, field, "a name without \":\"", "the user name is not acceptable") : 0;
}

#define AT(type, member) .off = offsetof(struct type, member), .size = sizeof(((struct type *)0)->member)

/* clang-format off */
static const struct qt_field pull_body[] = {
	{.name = "reference", .kind = QT_K_STR, .flags = QT_F_REQUIRED, AT(qt_img_pull_req, reference), .min = 1, .check = check_reference,
	 .example = "\"docker.io/library/alpine:3.20\"", .doc = "[registry[:port]/]repository[:tag][@digest]; default docker.io, latest"},
	{.name = "force", .kind = QT_K_BOOL, .flags = QT_F_NULL, AT(qt_img_pull_req, force), .doc = "ask the registry though the tenant has the reference"},
	{.name = "platform", .kind = QT_K_STR, .flags = QT_F_NULL, AT(qt_img_pull_req, platform), .min = 1, .check = check_platform,
	 .doc = "os/architecture; default: this machine's"},
	{.name = "registry_username", .kind = QT_K_STR, .flags = QT_F_NULL, AT(qt_img_pull_req, user), .check = check_user, .doc = "of a private registry"},
	{.name = "registry_password", .kind = QT_K_STR, .flags = QT_F_NULL, AT(qt_img_pull_req, password), .doc = "in no record and no log"},
	{.name = "async_mode", .kind = QT_K_IGNORE},
	{0},
};
static int check_build_arg(const char *field, const char *name, const char *value, struct qt_err *e)
{
	return qt_check_env(field, name, value, false, e);
}

static const struct qt_field context_body[] = {
	{.name = "content", .kind = QT_K_TEXT, .flags = QT_F_REQUIRED, .off = offsetof(struct qt_archive_req, content), .doc = "base64 of a tar or tar.gz"},
	{.name = "async_mode", .kind = QT_K_IGNORE},
	{0},
};
static const struct qt_img_build_req build_defaults = {.memory_mb = 1024, .cpu_percent = 100};
static const struct qt_field build_body[] = {
	{.name = "context_id", .kind = QT_K_STR, .flags = QT_F_REQUIRED, AT(qt_img_build_req, context_id), .min = 1, .doc = "of POST /api/build-contexts"},
	{.name = "image_reference", .kind = QT_K_STR, .flags = QT_F_REQUIRED, AT(qt_img_build_req, reference), .min = 1, .check = check_reference,
	 .example = "\"example.org/team/app:1\"", .doc = "what the image is called then"},
	{.name = "dockerfile_path", .kind = QT_K_STR, .flags = QT_F_NULL, AT(qt_img_build_req, dockerfile), .doc = "inside the context; default Dockerfile"},
	{.name = "build_args", .kind = QT_K_MAP, .flags = QT_F_NULL, .off = offsetof(struct qt_img_build_req, args), .size = 8192, .max = QT_ENV_MAX,
	 .check = check_build_arg, .doc = "values of ARG instructions"},
	{.name = "target_stage", .kind = QT_K_STR, .flags = QT_F_NULL, AT(qt_img_build_req, target), .doc = "name or number of the stage to stop behind; default the last"},
	{.name = "memory_limit_mb", .kind = QT_K_U64, AT(qt_img_build_req, memory_mb), .min = 16, .max = 16777216, .doc = "of each step; default 1024"},
	{.name = "cpu_limit_percent", .kind = QT_K_NUM, AT(qt_img_build_req, cpu_percent), .dmin = 0, .dmax = 102400, .doc = "of each step, of one cpu; default 100"},
	{.name = "async_mode", .kind = QT_K_IGNORE},
	{0},
};
static const struct qt_field delete_body[] = {{.name = "async_mode", .kind = QT_K_IGNORE}, {0}};
struct no_req { char unused; };

static const struct qt_qfield list_query[] = {
	{"filter", QT_Q_STR, 0, 255, NULL, "a part of the reference"},
	{"include_digests", QT_Q_BOOL, 0, 0, NULL, "default false: the digests are null"}, {0}};
static const struct qt_qfield one_query[] = {{"reference", QT_Q_STR, 0, 255, NULL, "the image; needed"}, {0}};
static const struct qt_qfield delete_query[] = {
	{"reference", QT_Q_STR, 0, 255, NULL, "the image; needed"},
	{"prune_layers", QT_Q_BOOL, 0, 0, NULL, "taken and left aside: layers that no image names go in any case"}, {0}};

static const struct qt_rfield image_fields[] = {
	{"id", "string", 0, NULL}, {"reference", "string", 0, NULL}, {"registry", "string", 0, NULL}, {"repository", "string", 0, NULL},
	{"tag", "string|null", 0, NULL}, {"manifest_digest", "string|null", 0, NULL}, {"config_digest", "string|null", 0, NULL},
	{"size_bytes", "integer", 0, NULL}, {"architecture", "string", 0, NULL}, {"os", "string", 0, NULL}, {"default_cmd", "array", 0, NULL},
	{"entrypoint", "array", 0, NULL}, {"env", "array", 0, NULL}, {"working_dir", "string|null", 0, NULL}, {"pulled_at", "integer", 0, NULL}, {0}};
static const struct qt_reply image = {"Image", image_fields};
static const struct qt_rfield pulled_fields[] = {{"success", "boolean", 0, NULL}, {"image", "object", 0, &image}, {0}};
static const struct qt_reply pulled = {"ImagePulled", pulled_fields};
static const struct qt_rfield context_fields[] = {
	{"context_id", "string", 0, NULL}, {"size_bytes", "integer", 0, NULL}, {"expires_at", "integer", 0, NULL}, {0}};
static const struct qt_reply context = {"BuildContext", context_fields};
static const struct qt_rfield list_fields[] = {{"images", "array", 0, &image}, {0}};
static const struct qt_reply list = {"ImageList", list_fields};
static const struct qt_rfield layer_fields[] = {
	{"digest", "string", 0, NULL}, {"size_bytes", "integer", 0, NULL}, {"media_type", "string", 0, NULL}, {0}};
static const struct qt_reply layer = {"ImageLayer", layer_fields};
static const struct qt_rfield inspect_fields[] = {
	{"image", "object", 0, &image}, {"layers", "array", 0, &layer}, {"manifest_json", "string", 0, NULL}, {"config_json", "string", 0, NULL}, {0}};
static const struct qt_reply inspect = {"ImageDetail", inspect_fields};
static const struct qt_rfield step_fields[] = {
	{"created", "string", 0, NULL}, {"created_by", "string", 0, NULL}, {"empty_layer", "boolean", 0, NULL}, {"comment", "string", 0, NULL}, {0}};
static const struct qt_reply step = {"ImageHistoryStep", step_fields};
static const struct qt_rfield history_fields[] = {{"history", "array", 0, &step}, {0}};
static const struct qt_reply history = {"ImageHistory", history_fields};

#define RUNTIME_ERRORS QT_E_RUNTIME_UNAVAILABLE, QT_E_UNAVAILABLE, QT_E_TIMEOUT

const struct qt_route qt_routes_images[] = {
	{.id = "pullImage", .method = "POST", .path = "/api/oci/images/pull", .summary = "Pull an image from a registry",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_SLOW, .body = pull_body, .body_size = sizeof(struct qt_img_pull_req), .query = qt_query_execution,
	 .ok = 200, .reply = &pulled, .also_ok = 202, .also_reply = &qt_reply_receipt, .budget_ms = 300000,
	 .errors = {QT_E_VALIDATION_ERROR, QT_E_IMAGE_NOT_FOUND, QT_E_IMAGE_REFUSED, QT_E_REGISTRY_DENIED, QT_E_REGISTRY_ERROR, QT_E_QUOTA_EXCEEDED, QT_E_CONFLICT, RUNTIME_ERRORS},
	 .fn = qt_h_img_pull},
	{.id = "uploadBuildContext", .method = "POST", .path = "/api/build-contexts", .summary = "Upload what a build may copy from, as tar or tar.gz",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_SLOW | QT_R_UPLOAD, .body = context_body, .body_size = sizeof(struct qt_archive_req), .ok = 201, .reply = &context,
	 .budget_ms = 60000, .errors = {QT_E_VALIDATION_ERROR, QT_E_ARCHIVE_REFUSED, QT_E_PAYLOAD_TOO_LARGE, QT_E_INSUFFICIENT_STORAGE, QT_E_UNAVAILABLE},
	 .fn = qt_h_build_context},
	{.id = "buildImage", .method = "POST", .path = "/api/oci/images/build", .summary = "Build an image from a Dockerfile, each step in a container",
	 .scope = QT_SCOPE_TENANT, .body = build_body, .body_size = sizeof(struct qt_img_build_req), .body_defaults = &build_defaults, .ok = 202,
	 .reply = &qt_reply_receipt, .budget_ms = 5000, .errors = {QT_E_VALIDATION_ERROR, QT_E_BUILD_CONTEXT_NOT_FOUND}, .fn = qt_h_img_build},
	{.id = "listImages", .method = "GET", .path = "/api/oci/images", .summary = "The tenant's pulled images, oldest first",
	 .scope = QT_SCOPE_TENANT, .query = list_query, .ok = 200, .reply = &list, .budget_ms = 5000, .errors = {QT_E_VALIDATION_ERROR},
	 .fn = qt_h_img_list},
	{.id = "inspectImage", .method = "GET", .path = "/api/oci/images/inspect", .summary = "One image, with its manifest and configuration as they came",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_SLOW, .query = one_query, .ok = 200, .reply = &inspect, .budget_ms = 30000,
	 .errors = {QT_E_VALIDATION_ERROR, QT_E_IMAGE_NOT_FOUND, RUNTIME_ERRORS}, .fn = qt_h_img_inspect},
	{.id = "imageHistory", .method = "GET", .path = "/api/oci/images/history", .summary = "How the image was made, as it says itself",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_SLOW, .query = one_query, .ok = 200, .reply = &history, .budget_ms = 30000,
	 .errors = {QT_E_VALIDATION_ERROR, QT_E_IMAGE_NOT_FOUND, RUNTIME_ERRORS}, .fn = qt_h_img_history},
	{.id = "deleteImage", .method = "DELETE", .path = "/api/oci/images", .summary = "Delete an image that nothing stands on",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_SLOW | QT_R_EMPTY_OK, .body = delete_body, .body_size = sizeof(struct no_req), .query = delete_query,
	 .ok = 200, .reply = &qt_reply_success, .budget_ms = 25000,
	 .errors = {QT_E_VALIDATION_ERROR, QT_E_IMAGE_NOT_FOUND, QT_E_IMAGE_IN_USE, RUNTIME_ERRORS}, .fn = qt_h_img_delete},
	{0},
};
