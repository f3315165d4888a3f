namespace Millrace.Tests.Differential;

/// <summary>Makes a failing script small: leaves out halves, quarters, ... single units, then commands of transactions, while it still fails.</summary>
internal static class Shrinker
{
    // A run of a whole script takes a fraction of a second and each pass halves it, so this is minutes at the very worst.
    private const int MaxRuns = 3_000;

    /// <summary>The smallest script found, cut right after its first difference.</summary>
    /// <param name="script">A script that fails.</param>
    /// <param name="failed">Its first difference, which stands when it does not fail again: then something besides it decides.</param>
    /// <param name="run">Runs a script and returns its first difference.</param>
    public static (IReadOnlyList<Unit> Script, Difference Difference) Shrink(
        IReadOnlyList<Unit> script, Difference failed, Func<IReadOnlyList<Unit>, Difference?> run)
    {
        var runs = 0;
        List<Unit> best = [.. script];
        if (run(best) is not { } difference)
            return ([.. script.Take(failed.Unit + 1)], failed);

        bool Try(List<Unit> candidate)
        {
            if (runs++ >= MaxRuns || run(candidate) is not { } found)
                return false;
            difference = found;
            best = [.. candidate.Take(found.Unit + 1)];
            return true;
        }

        Try(best);
        for (var chunk = Math.Max(1, best.Count / 2); ; chunk = Math.Max(1, Math.Min(chunk / 2, best.Count / 2)))
        {
            var isSmaller = false;
            for (var end = best.Count; end > 0; end = Math.Min(end - chunk, best.Count))
                isSmaller |= Try([.. best.Take(Math.Max(0, end - chunk)), .. best.Skip(end)]);
            if (chunk == 1 && !isSmaller)
                break;
        }

        // Each command in a pipeline of its own, where that still fails.
        Try([.. best.Select(unit => unit with { StartsPipeline = true })]);
        for (var i = 0; i < best.Count; i++)
        {
            for (var j = best[i].Commands.Count - 2; i < best.Count && best[i].IsDivisible && j > 0; j--)
                Try([.. best.Take(i), best[i] with { Commands = [.. best[i].Commands.Where((_, k) => k != j)] }, .. best.Skip(i + 1)]);
        }

        return (best, difference);
    }
}
