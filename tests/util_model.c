/* See util_model.h. */
#include "tests/util_model.h"

#include <stdlib.h>

#include "core/model/weights.h"
#include "core/train/train.h"
#include "tests/util.h"
#include "tests/util_folder.h"

const StTensor *need(const StFile *f, const char *name)
{
    const StTensor *t = st_find(f, name);
    if (!t)
        fail_msg("%s: no tensor %s", st_path(f), name);
    return t;
}

float *floats(const StFile *f, const char *name)
{
    float *x = NULL;
    assert_ok(weights_read_array(f, name, need(f, name)->elements, &x));
    return x;
}

Err train(const char *config, const char *out, const char *resume, JobCtl *ctl)
{
    char *c = in_folder(config), *o = in_folder(out), *r = resume ? in_folder(resume) : NULL;
    TrainParams p = {
        .config = c, .data = folder_path(), .output = o, .resume = r, .device = "cpu"};
    Err err = train_run(&p, ctl);
    free(c);
    free(o);
    free(r);
    return err;
}
