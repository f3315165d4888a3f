using System.Data.Common;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.EntityFrameworkCore;

/// <summary>Lines to store and database that fail now and then: before a call arrives, or after it was applied and before its answer comes.</summary>
public sealed class UnreliableLine(int seed) : DbCommandInterceptor, IDbTransactionInterceptor
{
    private const int PercentLost = 4;

    private readonly Random _random = new(seed);
    private readonly Lock _lock = new();
    private volatile bool _isReliable;

    public int Faults { get; private set; }

    /// <summary>Nothing fails any more.</summary>
    public void Heal() => _isReliable = true;

    public IStreamStore Wrap(IStreamStore store) => FaultyStore.Wrap(store, member => member switch
    {
        nameof(IStreamStore.CommitAsync) when IsLost() => FaultyStore.Fault.Before,
        nameof(IStreamStore.CommitAsync) when IsLost() => FaultyStore.Fault.After,
        nameof(IStreamStore.GetStatesAsync) when IsLost() => FaultyStore.Fault.Before,
        _ => FaultyStore.Fault.None,
    });

    public override ValueTask<InterceptionResult<DbDataReader>> ReaderExecutingAsync(
        DbCommand command, CommandEventData eventData, InterceptionResult<DbDataReader> result, CancellationToken cancellationToken = default) =>
        new(PassOrThrow(result));

    public override ValueTask<DbDataReader> ReaderExecutedAsync(
        DbCommand command, CommandExecutedEventData eventData, DbDataReader result, CancellationToken cancellationToken = default) =>
        new(PassOrThrow(result));

    public override ValueTask<InterceptionResult<int>> NonQueryExecutingAsync(
        DbCommand command, CommandEventData eventData, InterceptionResult<int> result, CancellationToken cancellationToken = default) =>
        new(PassOrThrow(result));

    public override ValueTask<int> NonQueryExecutedAsync(
        DbCommand command, CommandExecutedEventData eventData, int result, CancellationToken cancellationToken = default) =>
        new(PassOrThrow(result));

    public ValueTask<InterceptionResult> TransactionCommittingAsync(
        DbTransaction transaction, TransactionEventData eventData, InterceptionResult result, CancellationToken cancellationToken = default) =>
        new(PassOrThrow(result));

    public Task TransactionCommittedAsync(
        DbTransaction transaction, TransactionEndEventData eventData, CancellationToken cancellationToken = default) =>
        Task.FromResult(PassOrThrow(true));

    private T PassOrThrow<T>(T result) => IsLost() ? throw new TimeoutException("The line to the database broke.") : result;

    private bool IsLost()
    {
        lock (_lock)
        {
            if (_isReliable || _random.Next(100) >= PercentLost)
                return false;
            Faults++;
            return true;
        }
    }
}
