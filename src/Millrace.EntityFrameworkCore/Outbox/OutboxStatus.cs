namespace Millrace.EntityFrameworkCore;

/// <summary>How an outbox stands.</summary>
/// <param name="Waiting">Rows that are not relayed yet.</param>
/// <param name="Parked">Rows that the store refused too often.</param>
/// <param name="OldestAge">The age of the oldest waiting row, by the clock of the database; zero when there is none.</param>
public sealed record OutboxStatus(long Waiting, long Parked, TimeSpan OldestAge);
