/* argv -> explorer or subcommand. */
#include "tui/cli.h"
#include "tui/explorer.h"

int main(int argc, char **argv)
{
    return explorer_is_asked(argc, argv) ? explorer_main(argc, argv) : cli_main(argc, argv);
}
