/* argv -> subcommand or explorer. */
int main(void)
{
    return 0;
}
