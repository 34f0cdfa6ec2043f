#include <stdio.h>
#include <stdint.h>
#include <string.h>

#include "id.h"
#include "rnd.h"

struct qt_id qt_id_new(const char *prefix)
{
	static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";
	unsigned char r[26];
	struct qt_id id;
	size_t n;

	qt_rnd(r, sizeof(r));
	n = (size_t)snprintf(id.s, sizeof(id.s), "%.5s_", prefix);
	for (size_t i = 0; i < sizeof(r); i++)
		id.s[n + i] = alphabet[r[i] & 31];
	id.s[n + sizeof(r)] = '\0';
	return id;
}

bool qt_id_parse(struct qt_id *ret, const char *prefix, const char *text)
{
	size_t len = strlen(text), bar = strcspn(text, "_");

	if (bar < 2 || bar > 5 || len < bar + 2 || len > bar + 33 || len > QT_ID_MAX)
		return false;
	if (prefix && (strlen(prefix) != bar || memcmp(prefix, text, bar) != 0))
		return false;
	for (size_t i = 0; i < bar; i++)
		if (text[i] < 'a' || text[i] > 'z')
			return false;
	for (size_t i = bar + 1; i < len; i++)
		if (!((text[i] >= 'a' && text[i] <= 'z') || (text[i] >= '0' && text[i] <= '9')))
			return false;
	memcpy(ret->s, text, len + 1);
	return true;
}
