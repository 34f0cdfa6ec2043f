/* life_images.h - the part of test_life's world that is about pulled images: one, in Redis and at the runtime; and its tests. */
#ifndef QT_TEST_LIFE_IMAGES_H
#define QT_TEST_LIFE_IMAGES_H

#include "life_volumes.h"

void img_world_clear(void);
bool img_is_asked(enum rt_op op, const void *req);
int img_carry_out(enum rt_op op, const void *req, void *rep, struct qt_err *e);
int img_tests(void);

#endif
