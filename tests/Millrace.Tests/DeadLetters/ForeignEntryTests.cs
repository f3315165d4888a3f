using System.Collections.Concurrent;
using Millrace.Embedded;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Clients;
using Millrace.Tests.Consuming;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.DeadLetters;

/// <summary>What becomes of entries that other programs wrote, when they fail: the same on every store.</summary>
public abstract class ForeignEntryTests(Func<Task<string>>? endpoint = null) : IAsyncLifetime
{
    private const string Group = "billing";
    private const string Lane = "express";

    private readonly string _stream = $"orders-{Guid.NewGuid():N}";
    private IStreamStore _store = null!;

    public sealed class OnEmbedded : ForeignEntryTests;

    public sealed class OnServer(SharedMillrace millrace) : ForeignEntryTests(async () => $"127.0.0.1:{(await millrace.StartedAsync()).Endpoint.Port}");

    public sealed class OnRedis(SharedRedis redis) : ForeignEntryTests(async () => (await redis.StartedAsync()).Endpoint)
    {
        /// <summary>Real Redis takes entries beyond our limits from others.</summary>
        [Theory]
        [InlineData(5_000, 1)]
        [InlineData(10, 1024 * 1024)]
        public Task Entry_beyond_the_limits_ends_in_a_letter_that_says_what_it_left_out(int fields, int bytes) =>
            FailBeyondLimitsAsync(fields, bytes, ownsStream: false);

        /// <summary>The letter is not all of it, and what is settled is deleted there.</summary>
        [Theory]
        [InlineData(1_030, 1)]
        [InlineData(5_000, 1)]
        [InlineData(10, 1024 * 1024)]
        public Task Entry_beyond_the_limits_stays_in_a_stream_that_its_group_owns(int fields, int bytes) =>
            FailBeyondLimitsAsync(fields, bytes, ownsStream: true);

        /// <summary>Its stream still has all of it.</summary>
        [Theory]
        [InlineData(1_030, 1)]
        [InlineData(10, 1024 * 1024)]
        public Task Entry_beyond_the_limits_that_was_handed_back_leaves_nothing_in_the_private_stream(int fields, int bytes) =>
            FailBeyondLimitsAsync(fields, bytes, ownsStream: false, isHandedBack: true);

        /// <summary>It was acknowledged there when it was handed back, so retention may drop it: then the private stream has the only whole one.</summary>
        [Theory]
        [InlineData(1_030, 1)]
        [InlineData(10, 1024 * 1024)]
        public Task Entry_beyond_the_limits_that_was_handed_back_stays_in_the_private_stream_when_its_own_was_trimmed(int fields, int bytes) =>
            FailBeyondLimitsAsync(fields, bytes, ownsStream: false, isHandedBack: true, isTrimmed: true);
    }

    public async ValueTask InitializeAsync() =>
        _store = endpoint is null ? new EmbeddedStreamStore(new()) : new RedisStreamStore(RedisOptions.Parse(await endpoint()));

    public async ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        await _store.DeleteStreamAsync(_stream);
        await _store.DeleteStreamAsync(StreamNames.DeadLetters(_stream, Group));
        await _store.DeleteStreamAsync(StreamNames.Again(_stream, Group));
        await _store.DeleteStreamAsync(StreamNames.Lane(_stream, Lane));
        await _store.DisposeAsync();
    }

    [Theory]
    [InlineData(StreamLimits.MaxFields, 1, false)]
    [InlineData(4, StreamLimits.MaxEntryBytes, false)]
    [InlineData(StreamLimits.MaxFields, 1, true)] // Its letter has an ID besides, as letters of lanes do.
    [InlineData(StreamLimits.MaxFields, StreamLimits.MaxEntryBytes, true)]
    public async Task Entry_at_a_limit_is_retried_and_ends_in_the_dead_letters_whole_and_can_be_redriven(int fields, int bytes, bool isInLane)
    {
        var source = isInLane ? StreamNames.Lane(_stream, Lane) : _stream;
        var messageIds = new ConcurrentQueue<string>();
        var isMended = false;
        var handled = new TaskCompletionSource();

        // Written as JSON a control character takes six bytes.
        Exception failure = new LoudException('\u0001');
        for (var inner = 0; inner < 5; inner++)
            failure = new LoudException('\u0001', failure);
        await using var host = await StartAsync(
            context =>
            {
                messageIds.Enqueue(context.MessageId);
                return isMended ? Task.FromResult(handled.TrySetResult()) : throw failure;
            },
            hasLane: isInLane);
        var entry = EntryOf(fields, bytes);
        var id = await _store.AppendAsync(source, entry);

        // The second letter is of what was redriven, whose history is longer by that.
        for (var redrives = 0; redrives < 2; redrives++)
        {
            var letter = Assert.Single(await host.ReadAsync(StreamNames.DeadLetters(_stream, Group)));

            var read = new MessageHeaders(letter.Id, letter.Fields);
            Assert.Equal((DeadLetterReasons.AttemptsExhausted, 2, id), (read.DeadReason, read.Attempt, read.SourceId));
            Assert.Equal(entry.Select(field => field.NameText), letter.Fields.Take(entry.Count).Select(field => field.NameText));
            Assert.All(entry.Zip(letter.Fields), pair => Assert.True(pair.First.Value.Span.SequenceEqual(pair.Second.Value.Span)));
            Assert.Equal(0, (await _store.PendingSummaryAsync(source, Group)).Count);

            isMended = redrives == 1;
            Assert.Equal(RedriveOutcome.Redriven, (await Letters.RedriveAsync(letter.Id, new() { By = new('\u0001', 100_000) })).Outcome);
        }

        await handled.Task.WaitAsync(Eventually.Deadline);
        Assert.Equal([isInLane ? $"{source}/{id}" : $"{id}"], messageIds.Distinct());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)] // Its letter has one nevertheless, which leaves no more room.
    public async Task Entry_of_a_lane_at_the_limit_of_fields_goes_back_as_it_is_and_with_no_field_more(bool hasId)
    {
        await using var host = await StartAsync(_ => Task.CompletedTask, hasLane: true);
        var writer = new EntryFieldsWriter().Add("type", "order.created").Add(hasId ? "id" : "field", "o1");
        for (var i = 2; i < StreamLimits.MaxFields; i++)
            writer.Add($"f{i}", "");
        await _store.AppendAsync(StreamNames.Lane(_stream, Lane), writer.ToFields());
        var letter = Assert.Single(await host.ReadAsync(StreamNames.DeadLetters(_stream, Group)));
        RedriveOptions options = new() { By = "test" };

        var edited = await Letters.RedriveEditedAsync(letter.Id, "{}"u8.ToArray(), options);
        var unedited = await Letters.RedriveAsync(letter.Id, options);

        Assert.Equal((RedriveOutcome.Refused, RedriveOutcome.Redriven), (edited.Outcome, unedited.Outcome));
        var again = Assert.Single(await host.ReadAsync(StreamNames.DeadLetters(_stream, Group)));
        Assert.False(again.Fields.TryGet("deadomitted"u8, out _));
        Assert.Equal(StreamLimits.MaxFields - 2, again.Fields.Count(field => field.NameText is ['f', >= '0' and <= '9', ..]));
    }

    [Fact]
    public async Task Fields_of_others_under_the_names_of_the_history_are_kept_and_believed_by_nobody()
    {
        var attempts = new List<(int Attempt, string MessageId, EntryId Source)>();
        await using var host = await StartAsync(context =>
        {
            lock (attempts)
                attempts.Add((context.Attempt, context.MessageId, context.Headers.SourceId));
            throw new InvalidOperationException($"attempt {context.Attempt}");
        });
        (string Name, string Value)[] foreign =
        [
            ("attempt", "77"), ("errors", "[{\"error\":\"theirs\"}]"), ("priordeliveries", "900"), ("redrives", "9"), ("redriven", "[1]"),
            ("sourceid", "123-4"), ("deadreason", "theirs"), ("deaderror", "theirs"), ("deadgroup", "theirs"), ("deadtime", "theirs"),
            ("deadcause", "theirs"), ("deadexception", "theirs"), ("deadconsumer", "theirs"), ("deadomitted", "theirs"),
        ];

        var id = await _store.AppendAsync(_stream, EntryFields.Create(
            [("type", "order.created"), ("schemaversion", "2"), ("data", "{\"orderId\":\"o1\",\"total\":1}"), .. foreign]));
        await host.ReadAsync(StreamNames.DeadLetters(_stream, Group));

        Assert.Equal([(1, id.ToString(), id), (2, id.ToString(), id)], attempts);
        var letter = Assert.Single(await Letters.ListAsync().ToListAsync());
        Assert.Equal((id, DeadLetterReasons.AttemptsExhausted, 0), (letter.Headers.SourceId, letter.Reason, letter.Redrives));
        Assert.Equal(["InvalidOperationException: attempt 1", "InvalidOperationException: attempt 2"], letter.Attempts.Select(attempt => attempt.Error));
        Assert.Null(letter.Omitted);
        Assert.All(foreign, field => Assert.Equal(field.Value, letter.Headers[$"foreign{field.Name}"]));
    }

    private async Task FailBeyondLimitsAsync(int fields, int bytes, bool ownsStream, bool isHandedBack = false, bool isTrimmed = false)
    {
        var arguments = new List<string> { "XADD", _stream, "*", "type", "order.created", "schemaversion", "2", "data", "{\"orderId\":\"o1\",\"total\":1}" };
        for (var i = 0; i < fields; i++)
            arguments.AddRange([$"f{i}", new string('x', bytes)]);
        var id = EntryId.Parse((await ((RedisStreamStore)_store).ExecuteAsync(arguments)).Text, null);
        var original = Assert.Single(await _store.RangeAsync(_stream, new())).Fields;
        if (isHandedBack)
        {
            await _store.CreateGroupAsync(_stream, Group, GroupStart.Beginning);
            await _store.ReadGroupAsync(new() { Group = Group, Consumer = "before", Streams = [_stream] });
            await _store.CommitAsync(new Commit { Changes = [new CommitChange.Release(_stream, Group, new(id, 1))] });
        }

        await using var host = await StartAsync(
            async _ =>
            {
                if (isTrimmed)
                    await _store.TrimAsync(_stream, StreamTrim.ToLength(0));
                throw new InvalidOperationException("never");
            },
            ownsStream);
        await host.ReadAsync(StreamNames.DeadLetters(_stream, Group));

        var letter = Assert.Single(await Letters.ListAsync().ToListAsync());
        Assert.Equal((DeadLetterReasons.TooLarge, id, "o1"), (letter.Reason, letter.Headers.SourceId, letter.Headers["data"]?[12..14]));
        Assert.Equal(0, (await _store.PendingSummaryAsync(_stream, Group)).Count);
        var redrive = await Letters.RedriveAsync(letter.Id, new() { By = "test" });
        Assert.Equal(RedriveOutcome.Refused, redrive.Outcome);
        Assert.Contains(letter.Omitted!, redrive.Refusal, StringComparison.Ordinal);

        // The entry that the letter names is there, is whole, and is the only one.
        var again = await _store.RangeAsync(StreamNames.Again(_stream, Group), new());
        var (entries, stream) = isTrimmed ? (again, StreamNames.Again(_stream, Group)) : (await _store.RangeAsync(_stream, new()), _stream);
        var whole = Assert.Single(entries);
        Assert.EndsWith($" bytes of entry {whole.Id} of {stream}", letter.Omitted, StringComparison.Ordinal);
        Assert.Equal(original.Select(field => field.NameText), whole.Fields.Take(original.Count).Select(field => field.NameText));
        Assert.All(original.Zip(whole.Fields), pair => Assert.True(pair.First.Value.Span.SequenceEqual(pair.Second.Value.Span)));
        Assert.Equal(isTrimmed ? 1 : 0, again.Count);
        Assert.Equal(0, (await _store.PendingSummaryAsync(StreamNames.Again(_stream, Group), Group)).Count);
    }

    /// <summary>A message of so many fields and exactly so many bytes, or as few as it can have.</summary>
    private static EntryFields EntryOf(int fields, int bytes)
    {
        EntryFields Make(int filler)
        {
            var writer = new EntryFieldsWriter().Add("type", "order.created").Add("schemaversion", "2").Add("data", "{\"orderId\":\"o1\",\"total\":1}");
            for (var i = 4; i < fields; i++)
                writer.Add($"f{i}", "");
            return writer.Add("filler", new string('x', filler)).ToFields();
        }

        // The length of a large value takes four bytes, that of an empty one a single one.
        var entry = Make(0);
        entry = bytes > entry.Packed.Length ? Make(bytes - entry.Packed.Length - 3) : entry;
        Assert.Equal((fields, Math.Max(bytes, entry.Packed.Length)), (entry.Count, entry.Packed.Length));
        return entry;
    }

    private GroupDeadLetters Letters => new Millrace.DeadLetters(_store).Of(_stream, Group);

    private Task<ConsumerHost> StartAsync(Func<MessageContext, Task> handle, bool ownsStream = false, bool hasLane = false) => ConsumerHost.StartAsync(
        m =>
        {
            if (hasLane)
                m.AddLanes(_stream, lanes => lanes.Add(Lane, 8));
            m.AddConsumer<OrderCreated>(
                _stream,
                Group,
                (_, context, _) => handle(context),
                o => (o.MaxAttempts, o.RetryBaseDelay, o.OwnsStream) = (2, TimeSpan.FromMilliseconds(1), ownsStream));
        },
        _store);
}
