/* guides.h - a concern's help and examples, printed from the route table. */
#ifndef QT_GUIDES_H
#define QT_GUIDES_H

#include "route.h"

/* Does the client want markdown (?format=markdown, or Accept: text/markdown)? */
bool qt_guide_markdown(const struct qt_call *c);

#endif
