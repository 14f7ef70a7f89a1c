/* argv -> explorer or subcommand. */
#include <stdlib.h>
#include <unistd.h>

#include "tui/cli.h"
#include "tui/explorer.h"

/* On shared cores threads that spin while they wait starve those that work, so they spin briefly
 * and then sleep. OpenMP reads this before main(): the program starts itself once more when nobody
 * chose. */
static void wait_politely(char **argv)
{
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY"))
        return;
    setenv("GOMP_SPINCOUNT", "10000", 1);
    execv("/proc/self/exe", argv); /* returns only when it cannot: then as things are */
}

int main(int argc, char **argv)
{
    wait_politely(argv);
    return explorer_is_asked(argc, argv) ? explorer_main(argc, argv) : cli_main(argc, argv);
}
