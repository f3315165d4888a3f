using System.Text;
using Millrace.EventSourcing;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.EventSourcing;

public abstract partial class EventStoreTests
{
    private static readonly Decider<Points, PointsCommand> InHandler = Points.Decider with
    {
        Fold = Points.Fold with { Snapshots = new() { Every = 5 } },
    };

    /// <summary>Handlers run at once, decide on one stream and conflict; every message counts once, also those whose first attempt failed.</summary>
    [Fact]
    public async Task What_handlers_decide_leaves_in_their_commits_once_for_each_message()
    {
        const int messages = 30;
        var commands = $"{{{_stream}}}:commands";
        var answers = $"{{{_stream}}}:answers";
        await using var host = await HandlersAsync(commands, async (spent, context, token) =>
        {
            var decided = await EventsOf(_host!).EnlistDecisionAsync(context, _stream, InHandler, new PointsCommand.Earn(spent.Amount), token);
            context.Publish(answers, new PointsSpent((int)decided.Version));
            if (context.Attempt == 1 && spent.Amount % 3 == 0)
                throw new InvalidOperationException("the first attempt fails after it decided");
        });

        await host.Publisher.PublishManyAsync(commands, Enumerable.Range(1, messages).Select(i => new PointsSpent(i)).ToList());
        await host.ReadAsync(answers, messages);

        var loaded = await Events.LoadAsync(_stream, InHandler.Fold);
        Assert.Equal((new Points(messages * (messages + 1) / 2, messages), (long)messages), StateOf(loaded));
        Assert.NotNull(await _store!.GetStateAsync(new(_stream, "millrace/events/snapshot")));
        var events = await Events.ReadAsync(_stream).ToListAsync();
        var published = await _store!.RangeAsync(commands, new());
        Assert.Equal(
            published.Select(entry => entry.Fields.GetText("id"u8)).Order(), events.Select(one => one.Headers.CausationId).Order());
    }

    /// <summary>A group makes its stream; the expectation that nothing is in it holds nevertheless.</summary>
    [Fact]
    public async Task Handler_appends_to_a_stream_that_a_group_made()
    {
        var commands = $"{{{_stream}}}:commands";
        await _store!.CreateGroupAsync(_stream, "projector", GroupStart.Beginning);
        await using var host = await HandlersAsync(commands, (spent, context, token) =>
            EventsOf(_host!).EnlistAsync(context, _stream, ExpectedVersion.NoStream, [spent], cancellationToken: token).AsTask());

        await host.Publisher.PublishAsync(commands, new PointsSpent(4));

        await host.ReadAsync(_stream);
        Assert.Equal(new PointsSpent(4), Assert.Single(await Events.ReadAsync(_stream).ToListAsync()).Event);
    }

    /// <summary>Outside of a handler: the event and the message that tells of it are there together, or neither is.</summary>
    [Fact]
    public async Task Events_join_a_commit_with_messages_and_all_of_it_or_nothing_is_applied()
    {
        var told = $"{{{_stream}}}:told";
        async Task<bool> EarnAsync(ExpectedVersion expected)
        {
            var commit = _host!.Publisher.NewCommit(told);
            EventsOf(_host!).Enlist(commit, _stream, expected, [new PointsSpent(4)]);
            commit.Publish(told, new PointsSpent(4));
            return (await commit.CommitAsync()).IsApplied;
        }

        Assert.True(await EarnAsync(ExpectedVersion.NoStream));
        Assert.False(await EarnAsync(ExpectedVersion.NoStream));
        Assert.False(await EarnAsync(ExpectedVersion.Exactly(2)));
        Assert.True(await EarnAsync(ExpectedVersion.Exactly(1)));
        await Assert.ThrowsAsync<ArgumentException>(() => EarnAsync(ExpectedVersion.Any));

        Assert.Equal([1L, 2L], (await Events.ReadAsync(_stream).ToListAsync()).Select(one => one.Version));
        Assert.Equal(2, (await _store!.RangeAsync(told, new())).Count);
    }

    [Fact]
    public async Task Handler_that_expects_another_version_fails_and_appends_nothing()
    {
        await AppendAsync(1);
        var commands = $"{{{_stream}}}:commands";
        await using var host = await HandlersAsync(commands, (spent, context, token) =>
            EventsOf(_host!).EnlistAsync(context, _stream, ExpectedVersion.NoStream, [spent], cancellationToken: token).AsTask());

        await host.Publisher.PublishAsync(commands, new PointsSpent(4));

        var letter = Assert.Single(await host.ReadAsync(StreamNames.DeadLetters(commands, "deciders")));
        Assert.Contains(letter.Fields, field => Encoding.UTF8.GetString(field.Value.Span).Contains(nameof(CommitConflictException), StringComparison.Ordinal));
        Assert.Equal(1, await Events.GetVersionAsync(_stream));
    }

    private Task<ConsumerHost> HandlersAsync(string commands, Func<PointsSpent, MessageContext, CancellationToken, Task> handler) =>
        ConsumerHost.StartAsync(
            m => m.AddConsumer(commands, "deciders", handler, o => (o.RetryBaseDelay, o.MaxAttempts) = (TimeSpan.FromMilliseconds(1), 3)),
            _store,
            instance: Guid.NewGuid().ToString("N"));
}
