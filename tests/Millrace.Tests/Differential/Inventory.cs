namespace Millrace.Tests.Differential;

/// <summary>What is asked of both servers when a script has ended, so that nothing they hold differs unseen.</summary>
internal static class Inventory
{
    public static IReadOnlyList<Unit> Questions { get; } = [.. Ask()];

    private static IEnumerable<Unit> Ask()
    {
        for (var database = 0; database < ScriptGenerator.Databases; database++)
        {
            yield return Question("SELECT", $"{database}") with { StartsPipeline = true };
            yield return Question("DBSIZE");
            yield return Question("KEYS", "*");
            foreach (var key in ScriptGenerator.Keys)
            {
                yield return Question("TYPE", key) with { StartsPipeline = true };
                yield return Question("PTTL", key);
                yield return Question("XINFO", "STREAM", key);
                yield return Question("XINFO", "STREAM", key, "FULL", "COUNT", "0");
                yield return Question("XINFO", "GROUPS", key);
                yield return Question("XRANGE", key, "-", "+");
                yield return Question("GET", key);
                yield return Question("LRANGE", key, "0", "-1");
                yield return Question("SMEMBERS", key);
            }
        }
    }

    private static Unit Question(params string[] arguments) => new(UnitKind.Main, [new(arguments)]);
}
