/* Runs a target over its corpus and mutations of it: the same ones each time, so that what fails once fails again. An input that fails is left in the
 * file fuzz-failed.bin of the working directory. Prints as cmocka does. */
#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <unistd.h>

#include "fuzz.h"

#define INPUT_MAX 65536
#define FILES_MAX 512

static struct seed {
	char name[256];
	uint8_t *data;
	size_t len;
} seeds[FILES_MAX];
static size_t n_seeds;

static uint8_t input[INPUT_MAX];
static size_t input_len;
static uint64_t dice_state = 88172645463325252ULL;

static uint32_t dice(size_t sides)
{
	dice_state ^= dice_state << 13;
	dice_state ^= dice_state >> 7;
	dice_state ^= dice_state << 17;
	return (uint32_t)((dice_state >> 32) % sides);
}

static void on_abort(int sig)
{
	FILE *f = fopen("fuzz-failed.bin", "wb");

	if (f) {
		(void)fwrite(input, 1, input_len, f);
		(void)fclose(f);
	}
	(void)fprintf(stderr, "the input (%zu bytes) is in fuzz-failed.bin\n", input_len);
	(void)signal(sig, SIG_DFL);
	(void)raise(sig);
}

static void run_one(void)
{
	/* Of exactly its size: what is read behind it is seen. */
	uint8_t *exact = fuzz_bytes(input, input_len);

	(void)LLVMFuzzerTestOneInput(exact, input_len);
	free(exact);
}

static void load(const char *dir)
{
	struct dirent **names;
	int n = scandir(dir, &names, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		struct seed *s = &seeds[n_seeds];
		char path[4096];
		FILE *f;

		if (names[i]->d_name[0] != '.' && n_seeds < FILES_MAX) {
			(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
			f = fopen(path, "rb");
			if (!f) {
				perror(path);
				exit(1);
			}
			s->len = fread(input, 1, sizeof(input), f);
			(void)fclose(f);
			s->data = fuzz_bytes(input, s->len);
			(void)snprintf(s->name, sizeof(s->name), "%s", names[i]->d_name);
			n_seeds++;
		}
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	if (n_seeds == 0) {
		(void)fprintf(stderr, "%s: no corpus\n", dir);
		exit(1);
	}
}

static void take(const struct seed *s)
{
	memcpy(input, s->data, s->len);
	input_len = s->len;
}

/* One small change. */
static void mutate(void)
{
	static const uint32_t odd[] = {0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff, 4096, 65536};
	size_t at = input_len > 0 ? dice(input_len) : 0, n;
	const struct seed *other;
	uint32_t v;

	switch (dice(8)) {
	case 0: /* a byte */
	case 1:
		if (input_len > 0)
			input[at] = (uint8_t)dice(256);
		break;
	case 2: /* a bit */
		if (input_len > 0)
			input[at] ^= (uint8_t)(1U << dice(8));
		break;
	case 3: /* a number */
		v = odd[dice(sizeof(odd) / sizeof(odd[0]))];
		n = 1U << dice(3);
		if (at + n <= input_len)
			memcpy(input + at, &v, n);
		break;
	case 4: /* less */
		input_len = input_len > 0 ? dice(input_len + 1) : 0;
		break;
	case 5: /* a part is not there */
		n = input_len > 0 ? dice(input_len - at < 32 ? input_len - at : 32) : 0;
		memmove(input + at, input + at + n, input_len - at - n);
		input_len -= n;
		break;
	case 6: /* a part is there twice */
		n = input_len > 0 ? dice(input_len - at < 64 ? input_len - at : 64) : 0;
		if (input_len + n <= INPUT_MAX) {
			memmove(input + at + n, input + at, input_len - at);
			input_len += n;
		}
		break;
	case 7: /* the end of another one */
		other = &seeds[dice(n_seeds)];
		n = other->len > 0 ? dice(other->len) : 0;
		if (at + other->len - n <= INPUT_MAX) {
			memcpy(input + at, other->data + n, other->len - n);
			input_len = at + other->len - n;
		}
		break;
	}
}

int main(int argc, char **argv)
{
	unsigned long rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : FUZZ_ROUNDS;

	(void)signal(SIGABRT, on_abort);
	(void)signal(SIGSEGV, on_abort);
	(void)alarm(120);
	load(argc > 1 ? argv[1] : FUZZ_CORPUS);
	for (size_t i = 0; i < n_seeds; i++) {
		take(&seeds[i]);
		run_one();
	}
	(void)printf("[       OK ] corpus\n");
	for (unsigned long i = 0; i < rounds; i++) {
		take(&seeds[i % n_seeds]);
		for (unsigned k = 1 + dice(4); k > 0; k--)
			mutate();
		run_one();
	}
	(void)printf("[       OK ] mutations\n%zu of the corpus, %lu mutations\n", n_seeds, rounds);
	for (size_t i = 0; i < n_seeds; i++)
		free(seeds[i].data);
	return 0;
}
