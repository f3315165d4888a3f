using Millrace.Streams;
using Millrace.Tests.Consuming;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.DeadLetters;

/// <summary>What operators can do with dead letters, the same on every store.</summary>
public abstract class DeadLettersContract
{
    private const string Group = "billing";

    private static readonly RedriveOptions ByAnn = new() { By = "ann", Note = "fixed in 1.2" };

    private readonly string _stream = $"orders-{Guid.NewGuid():N}";

    protected abstract IStreamStore Store { get; }

    private string Dead => StreamNames.DeadLetters(_stream, Group);

    private string Again => StreamNames.Again(_stream, Group);

    private GroupDeadLetters Letters => new Millrace.DeadLetters(Store).Of(_stream, Group);

    [Fact]
    public async Task Letter_tells_reason_exceptions_attempts_consumer_source_and_cause()
    {
        await using var host = await FailingHostAsync(_ => throw new InvalidOperationException("no money", new TimeoutException("bank")));
        await host.Publisher.PublishAsync(_stream, new OrderCreated("o1", 1), new() { MessageId = "m1" });
        await host.ReadAsync(Dead);

        var letter = Assert.Single(await Letters.ListAsync().ToListAsync());

        Assert.Equal(DeadLetterReasons.AttemptsExhausted, letter.Reason);
        Assert.Equal("InvalidOperationException: no money", letter.Error);
        Assert.Equal(["System.InvalidOperationException", "System.TimeoutException"], letter.Exceptions.Select(exception => exception.Type));
        Assert.Contains(nameof(DeadLettersContract), letter.Exceptions[0].StackTrace);
        Assert.Equal([1, 2], letter.Attempts.Select(attempt => attempt.Attempt));
        Assert.All(letter.Attempts, attempt => Assert.InRange(attempt.Time!.Value, DateTimeOffset.UnixEpoch, DateTimeOffset.UtcNow));
        Assert.Equal(("local", "m1", 0), (letter.Consumer, letter.Headers.MessageId, letter.Redrives));
        Assert.Equal((await Store.RangeAsync(_stream, new()))[0].Id, letter.Headers.SourceId);
        Assert.Matches("^[0-9a-f]{16}$", letter.Cause);
    }

    [Fact]
    public async Task Redrive_reaches_the_failing_group_only_with_id_and_history_and_all_attempts_before_it()
    {
        var isFixed = false;
        await using var host = await FailingHostAsync(context =>
        {
            if (!isFixed || context.Attempt < 2)
                throw new InvalidOperationException("no money");
            context.Publish($"{_stream}-done", new OrderPaid($"{context.MessageId} {context.Attempt}"));
        });
        await host.Publisher.PublishAsync(_stream, new OrderCreated("o1", 1), new() { MessageId = "m1" });
        var dead = (await host.ReadAsync(Dead))[0];
        isFixed = true;

        var result = await Letters.RedriveAsync(dead.Id, ByAnn);

        Assert.Equal(RedriveOutcome.Redriven, result.Outcome);
        Assert.Equal("{\"orderId\":\"m1 2\"}", (await host.ReadAsync($"{_stream}-done"))[0].Fields.GetText("data"u8));
        Assert.Single(await Store.RangeAsync(_stream, new()));
        Assert.Empty(await Store.RangeAsync(Dead, new()));
        var note = Assert.Single(await Letters.AuditAsync().ToListAsync());
        Assert.Equal(
            ("redrive", "ann", "fixed in 1.2", dead.Id, "m1"), (note.Action, note.By, note.Text, note.LetterId, note.MessageId));
    }

    [Fact]
    public async Task Redrive_that_fails_again_comes_back_with_who_redrove_it_until_the_loop_guard_stops_it()
    {
        await using var host = await FailingHostAsync(_ => throw new InvalidOperationException("no money"));
        await host.Publisher.PublishAsync(_stream, new OrderCreated("o1", 1));
        var letter = new { Id = (await host.ReadAsync(Dead))[0].Id };
        var options = ByAnn with { MaxRedrives = 1 };

        Assert.Equal(RedriveOutcome.Redriven, (await Letters.RedriveAsync(letter.Id, options)).Outcome);
        var back = (await host.ReadAsync(Dead))[0];
        var known = await Letters.FindAsync(back.Id);

        Assert.Equal((1, "ann", false), (known!.Redrives, known.RedriveHistory[0].By, known.RedriveHistory[0].IsEdited));
        Assert.Equal([1, 2, 1, 2], known.Attempts.Select(attempt => attempt.Attempt));
        Assert.Equal(RedriveOutcome.LoopGuard, (await Letters.RedriveAsync(back.Id, options)).Outcome);
        Assert.NotNull(await Letters.FindAsync(back.Id));
        Assert.Equal(RedriveOutcome.Redriven, (await Letters.RedriveAsync(back.Id, options with { IgnoreLoopGuard = true })).Outcome);
    }

    [Fact]
    public async Task Redrive_by_two_operators_at_once_sends_every_letter_once()
    {
        await AddAsync(250);

        var outcomes = await Task.WhenAll(Enumerable.Range(0, 2).Select(async operatorNumber =>
            await Letters.RedriveAllAsync(DeadLetterFilter.All, ByAnn with { By = $"{operatorNumber}" }).ToListAsync()));

        var redriven = outcomes.SelectMany(results => results).Where(result => result.Outcome == RedriveOutcome.Redriven).ToList();
        Assert.Equal(250, redriven.Count);
        Assert.Equal(redriven.Select(result => result.NewId!.Value).Order(), (await Store.RangeAsync(Again, new())).Select(entry => entry.Id));
        Assert.Empty(await Store.RangeAsync(Dead, new()));
        Assert.Equal(250, (await Letters.AuditAsync().ToListAsync()).Count);
    }

    [Fact]
    public async Task Redrive_of_many_says_which_ones_are_gone()
    {
        var ids = await AddAsync(3);
        await Store.DeleteAsync(Dead, [ids[1]]);

        var results = await Letters.RedriveAsync(ids, ByAnn).ToListAsync();

        Assert.Equal(
            [RedriveOutcome.Redriven, RedriveOutcome.Gone, RedriveOutcome.Redriven], results.Select(result => result.Outcome));
        Assert.Equal(ids, results.Select(result => result.Id));
    }

    [Fact]
    public async Task Redrive_that_is_a_dry_run_writes_nothing()
    {
        var ids = await AddAsync(3);

        var results = await Letters.RedriveAllAsync(DeadLetterFilter.All, ByAnn with { DryRun = true, MaxPerSecond = 1 }).ToListAsync();

        Assert.Equal(ids, results.Select(result => result.Id));
        Assert.All(results, result => Assert.Equal(RedriveOutcome.WouldRedrive, result.Outcome));
        Assert.Equal(3, (await Store.RangeAsync(Dead, new())).Count);
        Assert.Null(await Store.GetStreamInfoAsync(Again));
        Assert.Null(await Store.GetStreamInfoAsync(StreamNames.DeadLetterAudit(_stream, Group)));
    }

    [Fact]
    public async Task Redrive_edited_keeps_the_id_and_notes_the_edit_with_the_original()
    {
        var ids = await AddAsync(1, fields: [("id", "m1"), ("sourceid", "7-1"), ("tenant", "t")]);

        var result = await Letters.RedriveEditedAsync(ids[0], "{\"fixed\":1}"u8.ToArray(), ByAnn);

        var entry = Assert.Single(await Store.RangeAsync(Again, new()));
        Assert.Equal((RedriveOutcome.Redriven, (EntryId?)entry.Id), (result.Outcome, result.NewId));
        Assert.Equal(
            ("m1", "7-1", "t", "{\"fixed\":1}"),
            (entry.Fields.GetText("id"u8), entry.Fields.GetText("sourceid"u8), entry.Fields.GetText("tenant"u8), entry.Fields.GetText("data"u8)));
        Assert.Contains("\"edited\":true", entry.Fields.GetText("redriven"u8));
        Assert.Null(entry.Fields.GetText("deadreason"u8));
        var note = Assert.Single(await Letters.AuditAsync().ToListAsync());
        Assert.Equal(("redrive edited", "{}"), (note.Action, System.Text.Encoding.UTF8.GetString(note.OriginalData!.Value.Span)));
    }

    /// <summary>The commit would take it, with room for its history; but its next failure could not take it along.</summary>
    [Fact]
    public async Task Redrive_edited_to_more_than_could_fail_again_whole_is_refused()
    {
        await using var host = await FailingHostAsync(_ => throw new InvalidOperationException("no money"));
        await host.Publisher.PublishAsync(_stream, new OrderCreated("o1", 1));
        var dead = (await host.ReadAsync(Dead))[0];
        byte[] Data(int bytes) => [.. "{\"orderId\":\""u8, .. Enumerable.Repeat((byte)'x', bytes), .. "\",\"total\":1}"u8];

        foreach (var dryRun in new[] { true, false })
        {
            var refused = await Letters.RedriveEditedAsync(dead.Id, Data(StreamLimits.MaxEntryBytes + (20 * 1024)), ByAnn with { DryRun = dryRun });

            Assert.Equal(RedriveOutcome.Refused, refused.Outcome);
            Assert.Contains($"{StreamLimits.MaxEntryBytes}", refused.Refusal, StringComparison.Ordinal);
            Assert.NotNull(await Letters.FindAsync(dead.Id));
        }

        var largest = Data(StreamLimits.MaxEntryBytes - 1024);
        Assert.Equal(RedriveOutcome.Redriven, (await Letters.RedriveEditedAsync(dead.Id, largest, ByAnn)).Outcome);
        await host.ReadAsync(Dead);
        var back = Assert.Single(await Letters.ListAsync().ToListAsync());
        Assert.Equal((null, 2), (back.Omitted, back.Headers.Attempt));
        Assert.True(back.Data.Span.SequenceEqual(largest));
    }

    [Fact]
    public async Task Redrive_all_does_not_meet_letters_that_come_back_meanwhile()
    {
        await AddAsync(150);
        var count = 0;

        await foreach (var result in Letters.RedriveAllAsync(DeadLetterFilter.All, ByAnn))
        {
            count++;
            await AddAsync(1);
        }

        Assert.Equal(150, count);
        Assert.Equal(150, (await Store.RangeAsync(Dead, new())).Count);
    }

    [Fact]
    public async Task Redrive_keeps_its_rate()
    {
        await AddAsync(3);
        var time = new ManualTimeProvider();
        var letters = new Millrace.DeadLetters(Store, time).Of(_stream, Group);
        await using var results = letters.RedriveAllAsync(DeadLetterFilter.All, ByAnn with { MaxPerSecond = 2 }).GetAsyncEnumerator();

        Assert.True(await results.MoveNextAsync());
        for (var i = 0; i < 2; i++)
        {
            var next = results.MoveNextAsync().AsTask();
            await time.WaitForTimerAsync(TimeSpan.FromSeconds(0.5));
            Assert.Equal(i + 1, (await Store.RangeAsync(Again, new())).Count);
            time.Advance(TimeSpan.FromSeconds(0.5));
            Assert.True(await next);
        }

        Assert.False(await results.MoveNextAsync());
    }

    [Fact]
    public async Task List_and_count_go_by_cause_type_and_time()
    {
        var first = await AddAsync(3, "unknown type", ("type", "a"));
        var second = await AddAsync(120, "undecodable data", ("type", "b"));
        var causes = await Letters.CountByCauseAsync();

        Assert.Equal([120, 3], causes.Select(cause => cause.Count));
        Assert.Equal((second[0], second[^1]), (causes[0].Oldest.Id, causes[0].Newest.Id));
        Assert.Equal(first, await IdsAsync(new() { Cause = causes[1].Cause }));
        Assert.Equal(second, await IdsAsync(new() { Type = "b" }));
        Assert.Equal(second[..2], await IdsAsync(new() { Type = "b", Limit = 2 }));
        Assert.Empty(await IdsAsync(new() { Type = "b", Cause = causes[1].Cause }));
        var newest = (await Letters.FindAsync(second[^1]))!.Time;
        Assert.Equal(123, (await IdsAsync(new() { To = newest })).Length);
        Assert.Empty(await IdsAsync(new() { From = newest.AddMilliseconds(1) }));
        Assert.Empty(await IdsAsync(new() { To = (await Letters.FindAsync(first[0]))!.Time.AddMilliseconds(-1) }));
    }

    [Fact]
    public async Task Count_by_cause_ends_when_it_would_keep_too_much()
    {
        var data = new string('x', StreamLimits.MaxEntryBytes - 1024);
        ValueTask<EntryId> AddLargeAsync(int cause) => Store.AppendAsync(Dead, EntryFields.Create(("data", data), ("deadcause", $"{cause}")));
        foreach (var cause in Enumerable.Range(0, 15).Concat([0, 0, 0]))
            await AddLargeAsync(cause);
        var causes = await Letters.CountByCauseAsync();
        Assert.Equal((15, 4L, "0"), (causes.Count, causes[0].Count, causes[0].Cause));

        await AddLargeAsync(15);

        var error = await Assert.ThrowsAsync<InvalidOperationException>(async () => await Letters.CountByCauseAsync());
        Assert.Contains("128 MiB", error.Message, StringComparison.Ordinal);
        await Store.DeleteStreamAsync(Dead);
    }

    [Fact]
    public async Task Trim_drops_by_number_and_by_age()
    {
        var ids = await AddAsync(5);
        var later = new ManualTimeProvider();
        later.Advance((await Letters.FindAsync(ids[^1]))!.Time - later.GetUtcNow() + TimeSpan.FromHours(1));
        var letters = new Millrace.DeadLetters(Store, later).Of(_stream, Group);

        Assert.Equal(0, await letters.TrimAsync(new()));
        Assert.Equal(2, await letters.TrimAsync(new() { MaxCount = 3 }));
        Assert.Equal(ids[2..], await IdsAsync(DeadLetterFilter.All));
        Assert.Equal(0, await letters.TrimAsync(new() { MaxAge = TimeSpan.FromHours(2) }));
        Assert.Equal(3, await letters.TrimAsync(new() { MaxAge = TimeSpan.FromMinutes(59) }));
    }

    [Fact]
    public async Task Delete_is_noted()
    {
        var ids = await AddAsync(2);

        Assert.Equal(1, await Letters.DeleteAsync([ids[0], EntryId.Max], "ann", "test data"));

        Assert.Equal([ids[1]], await IdsAsync(DeadLetterFilter.All));
        var note = Assert.Single(await Letters.AuditAsync().ToListAsync());
        Assert.Equal(("delete", "ann", "test data", ids[0]), (note.Action, note.By, note.Text, note.LetterId));
    }

    [Fact]
    public async Task Letters_of_nobody_are_none()
    {
        Assert.Empty(await IdsAsync(DeadLetterFilter.All));
        Assert.Empty(await Letters.CountByCauseAsync());
        Assert.Empty(await Letters.AuditAsync().ToListAsync());
        Assert.Equal(RedriveOutcome.Gone, (await Letters.RedriveAsync(new EntryId(1, 1), ByAnn)).Outcome);
    }

    [Theory]
    [InlineData("[1,{\"error\":\"\\ud800\"}]", "{", 0)]
    [InlineData("[{\"attempt\":\"\\ud800\",\"time\":\"\\ud800aaaa\"}]", "[{\"by\":\"\\ud800\",\"time\":\"\\ud800aaaa\"}]", 1)]
    [InlineData("[{\"\\ud800 attempt\":1,\"\\ud800 error\":1}]", "[{\"\\ud800 edited\":true}, [\"\\ud800\"], \"\\ud800\"]", 1)]
    public async Task Entry_of_another_program_among_the_letters_is_shown_and_redriven_as_it_is(string errors, string redriven, int redrives)
    {
        var id = await Store.AppendAsync(Dead, EntryFields.Create(("errors", errors), ("redriven", redriven), ("x", "y")));

        var letter = (await Letters.FindAsync(id))!;

        Assert.Equal(("", null, 0), (letter.Reason, letter.Error, letter.Redrives));
        Assert.Equal(new(0, null, ""), Assert.Single(letter.Attempts));
        Assert.Equal(Enumerable.Repeat(new DeadLetterRedrive("", null, false), redrives), letter.RedriveHistory);
        Assert.Equal(RedriveOutcome.Redriven, Assert.Single(await Letters.RedriveAllAsync(DeadLetterFilter.All, ByAnn).ToListAsync()).Outcome);
        var entry = Assert.Single(await Store.RangeAsync(Again, new()));
        Assert.Equal(("y", errors), (entry.Fields.GetText("x"u8), entry.Fields.GetText("errors"u8)));
        Assert.Equal("ann", new DeadLetter(entry).RedriveHistory[^1].By);
    }

    private Task<ConsumerHost> FailingHostAsync(Action<MessageContext> handle) => ConsumerHost.StartAsync(
        m => m.AddMessage<OrderPaid>().AddConsumer<OrderCreated>(
            _stream,
            Group,
            (_, context, _) =>
            {
                handle(context);
                return Task.CompletedTask;
            },
            o => (o.MaxAttempts, o.RetryBaseDelay) = (2, TimeSpan.Zero)),
        Store);

    private async Task<EntryId[]> AddAsync(int count, string reason = "attempts exhausted", params (string Name, string Value)[] fields)
    {
        (string Name, string Value)[] all = [.. fields, ("data", "{}"), ("attempt", "5"), ("deadreason", reason)];
        return [.. await Store.AppendManyAsync(Dead, [.. Enumerable.Repeat(EntryFields.Create(all), count)])];
    }

    private async Task<EntryId[]> IdsAsync(DeadLetterFilter filter) =>
        [.. (await Letters.ListAsync(filter).ToListAsync()).Select(letter => letter.Id)];
}
