/* A CDI specification: YAML or JSON of a vendor, read by the privileged program. */
#include "fuzz.h"

#include "runtime/cdispec.h"

static void edits(const struct rt_cdi_edits *x)
{
	for (unsigned i = 0; i < x->n_nodes; i++)
		FUZZ_MUST(strncmp(x->nodes[i].path, "/dev/", 5) == 0 && x->nodes[i].host[0] == '/' && strlen(x->nodes[i].path) < RT_CDI_PATH);
	for (unsigned i = 0; i < x->n_mounts; i++)
		FUZZ_MUST(x->mounts[i].path[0] == '/' && x->mounts[i].host[0] == '/' && !strstr(x->mounts[i].path, "/../"));
	for (unsigned i = 0; i < x->n_links; i++)
		FUZZ_MUST(x->links[i].path[0] == '/' && x->links[i].to[0]);
	for (unsigned i = 0; i < x->n_env; i++)
		FUZZ_MUST(strchr(x->env[i], '='));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rt_cdi_spec s;
	struct qt_err e = {0};

	if (rt_cdi_parse(&s, (const char *)data, size, &e) < 0) {
		FUZZ_MUST(e.code == QT_E_VALIDATION_ERROR && e.msg[0]);
		return 0;
	}
	FUZZ_MUST(rt_cdi_kind_ok(s.kind) && s.n_devices <= RT_CDI_DEVICES_MAX);
	edits(&s.common);
	for (unsigned i = 0; i < s.n_devices; i++) {
		FUZZ_MUST(rt_cdi_name_ok(s.devices[i].name));
		edits(&s.devices[i].own);
	}
	rt_cdi_spec_done(&s);
	return 0;
}
