namespace Millrace.Streams.Engine;

/// <summary>What became of an entry that was to be deleted, with the numbers of the reply.</summary>
internal enum DeleteOutcome
{
    Missing = -1,
    Deleted = 1,
    StillReferenced = 2,
}
