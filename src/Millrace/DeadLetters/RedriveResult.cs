using Millrace.Streams;

namespace Millrace;

/// <summary>What became of one dead letter.</summary>
public enum RedriveOutcome
{
    /// <summary>It is in the group's private stream, and no longer among the dead letters.</summary>
    Redriven,

    /// <summary>A dry run: it would be redriven.</summary>
    WouldRedrive,

    /// <summary>It is not there: somebody else redrove or deleted it, or it was trimmed. Nothing was written.</summary>
    Gone,

    /// <summary>It was redriven too often already, see <see cref="RedriveOptions.MaxRedrives"/>. Nothing was written.</summary>
    LoopGuard,

    /// <summary>The store refuses it, for instance because it is full; see <see cref="RedriveResult.Refusal"/>. Nothing was written.</summary>
    Refused,
}

/// <summary>What became of one dead letter.</summary>
/// <param name="Id">The letter.</param>
/// <param name="Outcome">What happened.</param>
/// <param name="NewId">Its ID in the group's private stream, when it is there.</param>
/// <param name="Refusal">Why the store refused it, when it did.</param>
public sealed record RedriveResult(EntryId Id, RedriveOutcome Outcome, EntryId? NewId = null, string? Refusal = null);
