namespace Millrace;

/// <summary>A consumer as its group and its own document tell of it.</summary>
/// <param name="Name">Its name in the group.</param>
/// <param name="PendingCount">Entries it holds, in the stream and in the group's private one.</param>
/// <param name="Instance">
/// What it said of itself in the last 30 seconds, or <see langword="null"/>: it is dead, or of a program that keeps no such document.
/// </param>
public sealed record GroupConsumer(string Name, long PendingCount, ConsumerInstance? Instance)
{
    /// <summary>Whether its process lives, and reaches the store.</summary>
    public bool IsAlive => Instance is not null;
}
