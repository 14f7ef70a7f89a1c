/* `scmmgpt train`: training runs from a configuration file. */
#include "core/train/train.h"
#include "tui/cli_commands.h"

Err cli_train(CliArgs *a)
{
    static const char usage[] = "CONFIG.json [--data DIR] [-o DIR] [--resume DIR]";
    TrainParams p = {.output = a->g->output, .device = a->g->device, .force = a->g->force};
    TRY(cli_take_string(a, "--data", &p.data));
    TRY(cli_take_string(a, "--resume", &p.resume));
    TRY(cli_finish(a, 1, 1, usage));
    p.config = a->argv[1];
    return train_run(&p, a->ctl);
}
