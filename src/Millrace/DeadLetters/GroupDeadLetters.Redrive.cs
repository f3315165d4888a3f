using System.Runtime.CompilerServices;
using Millrace.Consuming;
using Millrace.Messages;
using Millrace.Streams;

namespace Millrace;

public sealed partial class GroupDeadLetters
{
    // What goes with the message of who redrove it; the audit has all of it. With the five that are kept history stays below 6 KiB.
    private const int MaxByBytes = 1024;

    /// <summary>
    /// Sends one letter back to this group, and to no other: it keeps its message ID, its source and its history, and has all attempts
    /// before it again.
    /// </summary>
    /// <param name="id">The letter.</param>
    /// <param name="options">Who, how fast, and whether in earnest.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="ArgumentException">The options are outside their bounds.</exception>
    /// <exception cref="StreamException">
    /// The store failed. <see cref="StreamErrorCode.OutcomeUnknown"/>: call again; a letter that went is answered with
    /// <see cref="RedriveOutcome.Gone"/>.
    /// </exception>
    public async ValueTask<RedriveResult> RedriveAsync(EntryId id, RedriveOptions options, CancellationToken cancellationToken = default)
    {
        Check(options);
        return await RedriveOneAsync(id, options, null, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Sends one letter back with another payload. The original one stays in the audit.</summary>
    /// <param name="id">The letter.</param>
    /// <param name="data">
    /// The new payload, of the letter's media type. With it the message must be no larger than an entry may be
    /// (<see cref="StreamLimits.MaxEntryBytes"/>): otherwise <see cref="RedriveOutcome.Refused"/>.
    /// </param>
    /// <param name="options">Who, how fast, and whether in earnest.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="ArgumentException">The options are outside their bounds.</exception>
    /// <exception cref="StreamException">The store failed; see <see cref="RedriveAsync(EntryId, RedriveOptions, CancellationToken)"/>.</exception>
    public async ValueTask<RedriveResult> RedriveEditedAsync(
        EntryId id, ReadOnlyMemory<byte> data, RedriveOptions options, CancellationToken cancellationToken = default)
    {
        Check(options);
        return await RedriveOneAsync(id, options, data, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Sends letters back, in the order given, each with its result as soon as it is known.</summary>
    /// <param name="ids">The letters.</param>
    /// <param name="options">Who, how fast, and whether in earnest.</param>
    /// <param name="cancellationToken">Ends the redrive; letters not yet reported may have been redriven.</param>
    /// <exception cref="ArgumentException">The options are outside their bounds.</exception>
    /// <exception cref="StreamException">The store failed; call again for the rest.</exception>
    public async IAsyncEnumerable<RedriveResult> RedriveAsync(
        IEnumerable<EntryId> ids, RedriveOptions options, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(ids);
        Check(options);
        var pace = new RedrivePace(options.MaxPerSecond, _time);
        foreach (var id in ids)
        {
            if (!options.DryRun)
                await pace.WaitAsync(1, cancellationToken).ConfigureAwait(false);
            yield return await RedriveOneAsync(id, options, null, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>
    /// Sends all letters of a filter back, oldest first, that are there when it begins; each with its result as soon as it is known. A letter
    /// that fails again meanwhile is not met twice.
    /// </summary>
    /// <param name="filter">Which letters.</param>
    /// <param name="options">Who, how fast, and whether in earnest.</param>
    /// <param name="cancellationToken">Ends the redrive; letters not yet reported may have been redriven.</param>
    /// <exception cref="ArgumentException">The options are outside their bounds.</exception>
    /// <exception cref="StreamException">The store failed; call again for the rest.</exception>
    public async IAsyncEnumerable<RedriveResult> RedriveAllAsync(
        DeadLetterFilter filter, RedriveOptions options, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(filter);
        Check(options);
        var pace = new RedrivePace(options.MaxPerSecond, _time);
        await foreach (var page in PagesAsync(filter, cancellationToken).ConfigureAwait(false))
        {
            foreach (var batch in page.Chunk(pace.BatchSize))
            {
                if (!options.DryRun)
                    await pace.WaitAsync(batch.Length, cancellationToken).ConfigureAwait(false);
                foreach (var result in await RedriveBatchAsync(batch, options, null, cancellationToken).ConfigureAwait(false))
                    yield return result;
            }
        }
    }

    /// <summary>
    /// Deletes letters for good. The note in the audit needs room: in a store that is full use <see cref="TrimAsync"/>, which needs none.
    /// </summary>
    /// <param name="ids">The letters.</param>
    /// <param name="by">Who does it; kept in the audit.</param>
    /// <param name="note">Why; kept in the audit. Default: nothing.</param>
    /// <param name="cancellationToken">Stops the waiting; some letters may have been deleted.</param>
    /// <returns>How many were there, and are not any more.</returns>
    /// <exception cref="StreamException">The store failed or refused; call again for the rest.</exception>
    public async ValueTask<long> DeleteAsync(
        IEnumerable<EntryId> ids, string by, string? note = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(ids);
        ArgumentException.ThrowIfNullOrWhiteSpace(by);
        long deleted = 0;
        foreach (var id in ids)
        {
            if (await FindAsync(id, cancellationToken).ConfigureAwait(false) is not { } letter)
                continue;
            var audit = DeadLetterNote.Write(DeadLetterNote.Delete, by, note, letter, _time.GetUtcNow());
            var result = await _store.CommitAsync(TakeAway(id, new CommitChange.Append(_audit, audit)), cancellationToken)
                .ConfigureAwait(false);
            if (result.Failure is { } failure)
                throw failure;
            deleted += result.IsApplied ? 1 : 0;
        }

        return deleted;
    }

    private static void Check(RedriveOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Check();
    }

    private async ValueTask<RedriveResult> RedriveOneAsync(
        EntryId id, RedriveOptions options, ReadOnlyMemory<byte>? data, CancellationToken cancellationToken) =>
        await FindAsync(id, cancellationToken).ConfigureAwait(false) is { } letter
            ? (await RedriveBatchAsync([letter], options, data, cancellationToken).ConfigureAwait(false))[0]
            : new(id, RedriveOutcome.Gone);

    private async ValueTask<RedriveResult[]> RedriveBatchAsync(
        DeadLetter[] letters, RedriveOptions options, ReadOnlyMemory<byte>? data, CancellationToken cancellationToken)
    {
        var results = new RedriveResult[letters.Length];
        List<(int Index, Commit Commit)> commits = [];
        for (var i = 0; i < letters.Length; i++)
        {
            results[i] = Decide(letters[i], options, data, out var commit);
            if (results[i].Outcome == RedriveOutcome.Redriven)
                commits.Add((i, commit));
        }

        if (commits.Count == 0)
            return results;
        var outcomes = await _store.CommitAsync([.. commits.Select(item => item.Commit)], cancellationToken).ConfigureAwait(false);
        for (var i = 0; i < outcomes.Count; i++)
        {
            ref var result = ref results[commits[i].Index];
            result = outcomes[i] switch
            {
                { Failure: { } failure } => new(result.Id, RedriveOutcome.Refused, Refusal: failure.Message),
                { IsApplied: false } => new(result.Id, RedriveOutcome.Gone),
                var applied => result with { NewId = applied.Ids[0] },
            };
        }

        return results;
    }

    /// <summary>What is to become of a letter; the commit is to be made when it is to be redriven.</summary>
    private RedriveResult Decide(DeadLetter letter, RedriveOptions options, ReadOnlyMemory<byte>? data, out Commit commit)
    {
        commit = null!;
        if (letter.Redrives >= options.MaxRedrives && !options.IgnoreLoopGuard)
            return new(letter.Id, RedriveOutcome.LoopGuard);

        if (letter.Omitted is { } omitted && data is null)
            return new(letter.Id, RedriveOutcome.Refused, Refusal:
                $"The letter is not all of its message: left out were {omitted}, which is kept there. Redrive it with edited data, or read that entry.");

        var now = _time.GetUtcNow();
        var redriven = FieldsOfRedrive(letter, options.By, data, now);
        if (!MovedEntry.StaysWhole(redriven))
            return new(letter.Id, RedriveOutcome.Refused, Refusal:
                $"The message would have {redriven.Count} fields and {redriven.Packed.Length} bytes, and could not be kept whole if it failed again: " +
                $"keep it within {StreamLimits.MaxFields} and {StreamLimits.MaxEntryBytes}.");

        var action = data is null ? DeadLetterNote.Redrive : DeadLetterNote.EditedRedrive;
        commit = TakeAway(
            letter.Id,
            new CommitChange.Append(_again, redriven),
            new CommitChange.Append(_audit, DeadLetterNote.Write(action, options.By, options.Note, letter, now)));
        try
        {
            // A letter at a limit that its copy would break must not take the others of its batch down.
            StreamArguments.CheckCommit(commit);
        }
        catch (ArgumentException exception)
        {
            return new(letter.Id, RedriveOutcome.Refused, Refusal: exception.Message);
        }

        return new(letter.Id, options.DryRun ? RedriveOutcome.WouldRedrive : RedriveOutcome.Redriven);
    }

    /// <summary>The fence: whoever comes second finds that the letter is not there any more, and nothing of the commit happens.</summary>
    private Commit TakeAway(EntryId id, params CommitChange[] changes) => new()
    {
        Conditions = [CommitCondition.EntryExists(_letters, id)],
        Changes = [.. changes, new CommitChange.Delete(_letters, id)],
    };

    /// <summary>
    /// The message and its history, without what made it a dead letter: attempts and deliveries are counted anew, or it would come back at once.
    /// </summary>
    private static EntryFields FieldsOfRedrive(DeadLetter letter, string by, ReadOnlyMemory<byte>? data, DateTimeOffset now)
    {
        var writer = new EntryFieldsWriter();
        var isDataWritten = false;
        foreach (var field in letter.Headers.Fields)
        {
            var name = field.Name.Span;
            if (IsCountedAnew(name) || EnvelopeFieldNames.IsDeath(name))
                continue;
            var isData = name.SequenceEqual(EnvelopeFieldNames.Data);
            if (isData && isDataWritten && data is not null)
                continue;
            writer.Add(name, isData && data is { } edited ? edited.Span : field.Value.Span);
            isDataWritten |= isData;
        }

        if (data is { } added && !isDataWritten)
            writer.Add(EnvelopeFieldNames.Data, added.Span);
        if (!letter.Headers.Fields.TryGet(EnvelopeFieldNames.SourceId, out _))
            writer.Add(EnvelopeFieldNames.SourceId, letter.Id.ToString());
        EnvelopeCodec.WriteNumber(writer, EnvelopeFieldNames.Redrives, letter.Redrives + 1L);
        writer.Add(EnvelopeFieldNames.Redriven, JsonHistory.Add(
            letter.Headers.Fields, EnvelopeFieldNames.Redriven, (by, now, IsEdited: data is not null), static (json, redrive) =>
            {
                json.WriteString("by"u8, JsonHistory.Cut(redrive.by, MaxByBytes));
                json.WriteString("time"u8, redrive.now.UtcDateTime);
                if (redrive.IsEdited)
                    json.WriteBoolean("edited"u8, true);
            }));
        return writer.ToFields();
    }

    private static bool IsCountedAnew(ReadOnlySpan<byte> name) =>
        name.SequenceEqual(EnvelopeFieldNames.Attempt) || name.SequenceEqual(EntryFieldNames.PriorDeliveries) ||
        name.SequenceEqual(EnvelopeFieldNames.Redrives) || name.SequenceEqual(EnvelopeFieldNames.Redriven);
}
