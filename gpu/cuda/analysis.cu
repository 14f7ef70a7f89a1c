/* Analysis of cells: not on the GPU yet; the session computes it on the CPU. */
#include "gpu/cuda/cuda.cuh"

static void missing(Device *d)
{
    cuda_fail(d, ERROR_GENERAL, "analysis", "not on the GPU yet; use --device cpu");
}
static void cuda_nearest(Device *d, const Nearest *s)
{
    (void)s;
    missing(d);
}
static HeldRows *cuda_hold_rows(Device *d, const SparseRows *x)
{
    (void)x;
    missing(d);
    return NULL;
}
static void cuda_release_rows(Device *d, HeldRows *h)
{
    (void)d;
    (void)h;
}
static void cuda_covariance(Device *d, const HeldRows *h, const double *v, const double *shift,
                            double *w, const DeviceWatch *watch)
{
    (void)h, (void)v, (void)shift, (void)w, (void)watch;
    missing(d);
}
static void cuda_layout(Device *d, const Layout *l)
{
    (void)l;
    missing(d);
}

void analysis_fill(DeviceOps *o)
{
    o->nearest = cuda_nearest;
    o->hold_rows = cuda_hold_rows;
    o->release_rows = cuda_release_rows;
    o->covariance = cuda_covariance;
    o->layout = cuda_layout;
}
