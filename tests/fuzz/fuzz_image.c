/* What a registry says: manifests, indexes, configurations; and how it wants to be asked; and references to images, which come from clients. The first byte says which. */
#include "fuzz.h"

#include "dec.h"
#include "img.h"
#include "pull.h"
#include "str.h"

static void reference(const char *text)
{
	struct qt_imgref r, again;
	struct qt_err e = {0};

	if (qt_imgref_parse("/reference", text, &r, &e) < 0) {
		FUZZ_MUST(e.code == QT_E_VALIDATION_ERROR);
		return;
	}
	FUZZ_MUST(r.registry[0] && r.repository[0] && (r.tag[0] || r.digest[0]) && (!r.digest[0] || qt_digest_ok(r.digest)));
	/* Made whole, it means the same. */
	FUZZ_MUST(qt_imgref_parse("/reference", r.text, &again, &e) == 0 && memcmp(r.text, again.text, strlen(r.text) + 1) == 0);
	FUZZ_MUST(qt_streq(r.registry, again.registry) && qt_streq(r.repository, again.repository) && qt_streq(r.tag, again.tag));
}

static void configuration(const json_t *doc)
{
	struct qt_err e = {0};
	json_t *history = qt_img_history(doc);
	struct qt_img i;

	FUZZ_MUST(json_is_array(history));
	json_decref(history);
	qt_img_init(&i);
	if (qt_img_configure(&i, doc, 1, &e) < 0)
		FUZZ_MUST(e.code == QT_E_IMAGE_REFUSED);
	qt_img_done(&i);
}

static void manifest(const json_t *doc)
{
	static struct pl_manifest m;
	struct qt_err e = {0};

	if (pl_manifest_parse(doc, 1U << 30, &m, &e) < 0) {
		FUZZ_MUST(e.code == QT_E_IMAGE_REFUSED || e.code == QT_E_PAYLOAD_TOO_LARGE || e.code == QT_E_QUOTA_EXCEEDED);
		return;
	}
	FUZZ_MUST(m.n <= QT_IMG_LAYERS_MAX && m.n <= m.n_layers && qt_digest_ok(m.config));
	for (unsigned i = 0; i < m.n; i++)
		FUZZ_MUST(qt_digest_ok(m.layers[i].digest) && m.layers[i].index < m.n_layers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char digest[QT_DIGEST_MAX + 1] = "";
	struct qt_err e = {0};
	bool is_index;
	char *text;
	json_t *doc;

	if (size == 0)
		return 0;
	text = fuzz_text(data + 1, size - 1);
	if (data[0] % 3 != 1) {
		struct pl_challenge c;

		if (data[0] % 3 == 0)
			reference(text);
		else
			(void)pl_challenge_parse(&c, text);
		free(text);
		return 0;
	}
	doc = json_loadb(text, size - 1, JSON_REJECT_DUPLICATES, NULL);
	free(text);
	if (!doc)
		return 0;
	(void)pl_is_index(doc, "", &is_index, &e);
	qt_err_reset(&e);
	if (pl_index_pick(doc, "linux/amd64", digest, &e) == 0)
		FUZZ_MUST(qt_digest_ok(digest));
	manifest(doc);
	configuration(doc);
	json_decref(doc);
	return 0;
}
