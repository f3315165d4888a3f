using System.Data.Common;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Millrace.Streams;
using Millrace.Tests.Fixtures;
using Npgsql;

namespace Millrace.Tests.EntityFrameworkCore;

/// <summary>
/// Something dies at the n-th step of a process. A step is the moment before, or after, a call of the store, a command of the database or a commit of it.
/// The process dies, as far as store and database can see: nothing that it does afterwards reaches them. Or the database does, which takes the answer
/// along that it was about to give, and the process lives on.
/// </summary>
/// <param name="diesAt">The number of the step, from 1 on.</param>
/// <param name="killDatabase">Kills the database; <see langword="null"/>: the process dies.</param>
public sealed class DeathAtStep(int diesAt, Action? killDatabase = null) : DbCommandInterceptor, IDbTransactionInterceptor
{
    private readonly Lock _lock = new();
    private readonly TaskCompletionSource _died = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly List<string> _steps = [];

    /// <summary>All steps that were taken.</summary>
    public IReadOnlyList<string> Steps
    {
        get
        {
            lock (_lock)
                return [.. _steps];
        }
    }

    /// <summary>Which step it was, for people.</summary>
    public string Step { get; private set; } = "none";

    /// <summary>Ends when it is dead.</summary>
    public Task Died => _died.Task;

    public bool IsDead => _died.Task.IsCompleted;

    public IStreamStore Wrap(IStreamStore store) => FaultyStore.Wrap(store, member =>
    {
        // Groups, ledgers and telemetry are none of the relay's business.
        if (member is not (nameof(IStreamStore.CommitAsync) or nameof(IStreamStore.GetStatesAsync)))
            return FaultyStore.Fault.None;
        if (!Pass($"before {member}"))
            return FaultyStore.Fault.Before;

        // To a database that is the moment before its next command.
        return member == nameof(IStreamStore.CommitAsync) && killDatabase is null && !Pass($"after {member}")
            ? FaultyStore.Fault.After
            : FaultyStore.Fault.None;
    });

    public override ValueTask<InterceptionResult<DbDataReader>> ReaderExecutingAsync(
        DbCommand command, CommandEventData eventData, InterceptionResult<DbDataReader> result, CancellationToken cancellationToken = default)
    {
        PassOrThrow(command.CommandText.Split('\n')[0], isAnswer: false);
        return new(result);
    }

    public override ValueTask<DbDataReader> ReaderExecutedAsync(
        DbCommand command, CommandExecutedEventData eventData, DbDataReader result, CancellationToken cancellationToken = default)
    {
        PassOrThrow(command.CommandText.Split('\n')[0], isAnswer: true);
        return new(result);
    }

    public override ValueTask<InterceptionResult<int>> NonQueryExecutingAsync(
        DbCommand command, CommandEventData eventData, InterceptionResult<int> result, CancellationToken cancellationToken = default)
    {
        PassOrThrow(command.CommandText.Split('\n')[0], isAnswer: false);
        return new(result);
    }

    public override ValueTask<int> NonQueryExecutedAsync(
        DbCommand command, CommandExecutedEventData eventData, int result, CancellationToken cancellationToken = default)
    {
        PassOrThrow(command.CommandText.Split('\n')[0], isAnswer: true);
        return new(result);
    }

    public ValueTask<InterceptionResult> TransactionCommittingAsync(
        DbTransaction transaction, TransactionEventData eventData, InterceptionResult result, CancellationToken cancellationToken = default)
    {
        PassOrThrow("COMMIT", isAnswer: false);
        return new(result);
    }

    public Task TransactionCommittedAsync(
        DbTransaction transaction, TransactionEndEventData eventData, CancellationToken cancellationToken = default)
    {
        PassOrThrow("COMMIT", isAnswer: true);
        return Task.CompletedTask;
    }

    private void PassOrThrow(string command, bool isAnswer)
    {
        if (!Pass($"{(isAnswer ? "after" : "before")} {command}", isAnswer))
            throw killDatabase is null ? new InvalidOperationException("The process is dead.") : new NpgsqlException("The answer is lost.", new IOException());
    }

    /// <summary>Takes a step, at which it may die.</summary>
    /// <returns>Whether the process goes on as if nothing were the matter.</returns>
    private bool Pass(string step, bool isAnswer = false)
    {
        lock (_lock)
        {
            _steps.Add(step);
            var isNow = _steps.Count == diesAt;
            if (isNow)
            {
                Step = step;
                killDatabase?.Invoke();
                _died.TrySetResult();
            }

            return killDatabase is null ? _steps.Count < diesAt : !(isNow && isAnswer);
        }
    }
}
