/* The MPI plugin: everything this program asks of MPI. Built with mpicc where it is found. */
#include "core/train/ranks.h"
#include <mpi.h>

enum { PIECE = 1 << 24 }; /* elements a message; MPI counts are int */

static bool start(int *rank, int *size)
{
    int level;
    return MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level) == MPI_SUCCESS &&
           MPI_Comm_rank(MPI_COMM_WORLD, rank) == MPI_SUCCESS &&
           MPI_Comm_size(MPI_COMM_WORLD, size) == MPI_SUCCESS;
}

static bool sum(float *x, size_t n)
{
    for (size_t at = 0; at < n; at += PIECE) {
        int count = (int)(n - at < PIECE ? n - at : PIECE);
        if (MPI_Allreduce(MPI_IN_PLACE, x + at, count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD) !=
            MPI_SUCCESS)
            return false;
    }
    return true;
}

static void done(void)
{
    MPI_Finalize();
}

const RanksOps *scmmgpt_ranks(void);
const RanksOps *scmmgpt_ranks(void)
{
    static const RanksOps ops = {RANKS_ABI, start, sum, done};
    return &ops;
}
