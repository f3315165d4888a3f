using Millrace.EventSourcing;
using Millrace.Projections;
using Millrace.Tests.EventSourcing;

namespace Millrace.Tests.Projections;

/// <summary>The view of a stream of points. Its fold refuses an event that comes twice, too early, or to another shape.</summary>
public sealed record Tally(int Balance, long Version, string Made = "")
{
    /// <summary>By stream, and deleted with it.</summary>
    public static Action<ViewFolds<Tally>> Folds { get; } = FoldsOf("");

    /// <param name="made">A mark on every view, to tell folds apart.</param>
    /// <param name="folding">Called before each fold.</param>
    public static Action<ViewFolds<Tally>> FoldsOf(string made, Action<RecordedEvent>? folding = null) => folds => folds
        .On<PointsEarned>((tally, earned, context) => Next(tally, earned.Amount, context, made, folding))
        .On<PointsSpent>((tally, spent, context) => Next(tally, -spent.Amount, context, made, folding))
        .On<StreamDeleted>((_, _, _) => null);

    private static Tally Next(Tally? tally, int amount, FoldContext context, string made, Action<RecordedEvent>? folding)
    {
        folding?.Invoke(context.Recorded);
        var version = context.Recorded.Version;
        return version == (tally?.Version ?? 0) + 1
            ? new((tally?.Balance ?? 0) + amount, version, made)
            : throw new InvalidOperationException($"{context.Recorded.Stream}: {version} comes after {tally?.Version}.");
    }
}
