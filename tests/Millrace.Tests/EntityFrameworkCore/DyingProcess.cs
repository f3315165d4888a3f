using System.Data.Common;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.EntityFrameworkCore;

/// <summary>
/// A process that dies at its n-th step, as far as store and database can see: nothing that it does afterwards reaches them. A step is the moment
/// before, or
/// after, a call of the store, a command of the database or a commit of it.
/// </summary>
public sealed class DyingProcess(int diesAt) : DbCommandInterceptor, IDbTransactionInterceptor
{
    private readonly Lock _lock = new();
    private readonly TaskCompletionSource _died = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _steps;

    /// <summary>Ends when it is dead.</summary>
    public Task Died => _died.Task;

    public bool IsDead => _died.Task.IsCompleted;

    public IStreamStore Wrap(IStreamStore store) => FaultyStore.Wrap(store, member =>
    {
        // Groups, ledgers and telemetry are none of the relay's business.
        if (member is not (nameof(IStreamStore.CommitAsync) or nameof(IStreamStore.GetStatesAsync)))
            return FaultyStore.Fault.None;
        if (!Step())
            return FaultyStore.Fault.Before;
        return member == nameof(IStreamStore.CommitAsync) && !Step() ? FaultyStore.Fault.After : FaultyStore.Fault.None;
    });

    public override ValueTask<InterceptionResult<DbDataReader>> ReaderExecutingAsync(
        DbCommand command, CommandEventData eventData, InterceptionResult<DbDataReader> result, CancellationToken cancellationToken = default)
    {
        StepOrThrow();
        return new(result);
    }

    public override ValueTask<DbDataReader> ReaderExecutedAsync(
        DbCommand command, CommandExecutedEventData eventData, DbDataReader result, CancellationToken cancellationToken = default)
    {
        StepOrThrow();
        return new(result);
    }

    public override ValueTask<InterceptionResult<int>> NonQueryExecutingAsync(
        DbCommand command, CommandEventData eventData, InterceptionResult<int> result, CancellationToken cancellationToken = default)
    {
        StepOrThrow();
        return new(result);
    }

    public override ValueTask<int> NonQueryExecutedAsync(
        DbCommand command, CommandExecutedEventData eventData, int result, CancellationToken cancellationToken = default)
    {
        StepOrThrow();
        return new(result);
    }

    public ValueTask<InterceptionResult> TransactionCommittingAsync(
        DbTransaction transaction, TransactionEventData eventData, InterceptionResult result, CancellationToken cancellationToken = default)
    {
        StepOrThrow();
        return new(result);
    }

    public Task TransactionCommittedAsync(
        DbTransaction transaction, TransactionEndEventData eventData, CancellationToken cancellationToken = default)
    {
        StepOrThrow();
        return Task.CompletedTask;
    }

    private void StepOrThrow()
    {
        if (!Step())
            throw new InvalidOperationException("The process is dead.");
    }

    private bool Step()
    {
        lock (_lock)
        {
            if (++_steps >= diesAt)
                _died.TrySetResult();
            return _steps < diesAt;
        }
    }
}
