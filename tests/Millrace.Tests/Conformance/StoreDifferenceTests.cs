using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using Millrace.Embedded;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Conformance;

/// <summary>
/// The same random calls on the embedded store and on Redis have the same results and leave the same behind. Finds the combinations that
/// nobody thought of; what one is found to break gets a test of its own in the conformance suite.
/// </summary>
public sealed partial class StoreDifferenceTests(SharedRedis redis)
{
    private const int Steps = 60;

    private static readonly string[] Groups = ["g", "h"];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public async Task Same_calls_do_the_same_on_both_stores(int seed)
    {
        var server = await redis.StartedAsync();
        await using var onRedis = new RedisStreamStore(new() { Host = "127.0.0.1", Port = server.Port });
        await using var embedded = new EmbeddedStreamStore(new());
        var random = new Random(seed);
        var names = new Names($"{{{Guid.NewGuid().ToString("N")[..12]}}}");

        // IDs far ahead of the clock count on from the last one, so they are the same on both stores.
        var start = names.Own.Select((stream, i) => (Func<View, Commit>)(_ => Change(
            new CommitChange.Append(stream, Fields($"first {i}"), new(4_000_000_000_000 + (ulong)i, 0)))));
        var log = new StringBuilder();
        await CompareAsync(Commits([.. start]));
        foreach (var stream in names.Own)
        {
            foreach (var group in Groups)
                await CompareAsync(Create(stream, group));
        }

        for (var step = 0; step < Steps; step++)
            await CompareAsync(Next(random, names, await View.ReadAsync(embedded, names)));

        async Task CompareAsync(Call call)
        {
            var texts = new List<string>();
            foreach (var store in (IStreamStore[])[embedded, onRedis])
            {
                var view = await View.ReadAsync(store, names);
                var result = await ResultAsync(() => call.Run(store, view));
                texts.Add($"{result}\n{await View.ReadAsync(store, names)}");
            }

            log.AppendLine(call.Text);
            Assert.True(texts[0] == texts[1], $"{log}\nembedded: {texts[0]}\n\nRedis: {texts[1]}");
        }
    }

    private static async Task<string> ResultAsync(Func<Task<string>> call)
    {
        try
        {
            return await call();
        }
        catch (StreamException exception)
        {
            return exception.Code.ToString();
        }
    }

    private static Call Next(Random random, Names names, View view)
    {
        var stream = random.Next(6) == 0 ? Pick(random, names.All) : Pick(random, names.Own);
        var group = Pick(random, Groups);
        var consumer = Pick(random, "c1", "c2");
        var count = random.Next(1, 4);
        var pending = view.Pending(stream, group);
        var picked = Enumerable.Range(0, count).Select(_ => random.Next(pending.Count + 1)).ToArray();
        EntryId[] Ids(View at) => [.. picked.Select(i => IdOf(at.Pending(stream, group), i))];
        var what = $"{stream[15..]} {group} {consumer} {string.Join(',', picked)}";

        switch (random.Next(16))
        {
            case 0 or 1 or 2:
                return new($"read {what}", async (store, at) => string.Join(' ', (await store.ReadGroupAsync(
                    new() { Group = group, Consumer = consumer, Streams = [stream], Count = count })).SelectMany(batch => batch.Entries)
                    .Select(entry => $"{entry.Fields}:{entry.DeliveryCount}")));
            case 3:
                return new($"claim {what}", async (store, at) =>
                {
                    var claim = await store.ClaimAsync(
                        stream, group, new() { Consumer = consumer, Ids = Ids(at), MinIdleTime = TimeSpan.Zero });
                    return string.Join(' ', claim.Entries.Select(entry => $"{entry.Fields}:{entry.DeliveryCount}"))
                        + $" deleted {claim.Deleted.Count}";
                });
            case 4:
                return new($"ack {what}", async (store, at) => $"{await store.AckAsync(stream, group, Ids(at))}");
            case 5:
                return new($"ack and delete {what}", async (store, at) => $"{await store.AckAndDeleteAsync(stream, group, Ids(at))}");
            case 6:
                return new($"delete {what}", async (store, at) => $"{await store.DeleteAsync(stream, Ids(at))}");
            case 7:
                return new($"extend {what}", async (store, at) => $"{(await store.ExtendAsync(
                    stream, group, consumer, [.. Ids(at).Select(id => new HeldEntry(id, count))])).Count}");
            case 8 when random.Next(3) == 0:
                return random.Next(6) switch
                {
                    5 => DestroyWhole(stream, group),
                    0 => new($"trim {what}", async (store, at) => $"{await store.TrimAsync(stream, StreamTrim.ToLength(count))}"),
                    1 => new($"destroy {what}", async (store, at) => $"{await store.DestroyGroupAsync(stream, group)}"),
                    2 => Create(stream, group),
                    3 => new($"rewind {what}", async (store, at) =>
                    {
                        await store.SetGroupAsync(stream, group, GroupStart.Beginning);
                        return "";
                    }),
                    _ => new($"forget {what}", async (store, at) => $"{await store.DeleteConsumerAsync(stream, group, consumer)}"),
                };
            default:
                return Commits([.. Enumerable.Range(0, random.Next(1, 5)).Select(_ => NextCommit(random, names, view))]);
        }
    }

    private static Func<View, Commit> NextCommit(Random random, Names names, View view)
    {
        var conditions = Enumerable.Range(0, random.Next(3)).Select(_ => NextCondition(random, names, view)).ToArray();
        var changes = Enumerable.Range(0, random.Next(1, 5)).Select(_ => NextChange(random, names, view)).ToArray();
        return at =>
        {
            // To delete an entry and to give it back in one commit is nobody's intention: Redis copies first, the engine deletes first.
            CommitChange[] made = [.. changes.Select(make => make(at))];
            var releases = made.OfType<CommitChange.Release>().Any();
            return new()
            {
                Conditions = [.. conditions.Select(make => make(at))],
                Changes = [.. made.Select(change => change is CommitChange.AckAndDelete both && releases
                    ? new CommitChange.Ack(both.Stream, both.Group, both.Id)
                    : change)],
            };
        };
    }

    private static Func<View, CommitCondition> NextCondition(Random random, Names names, View view)
    {
        var stream = Pick(random, names.All);
        var key = Pick(random, names.States);
        var (group, consumer, count) = (Pick(random, Groups), Pick(random, "c1", "c2"), random.Next(1, 3));
        var index = random.Next(view.Pending(stream, group).Count + 1);
        return random.Next(8) switch
        {
            0 => _ => CommitCondition.NoStream(stream),
            1 => at => CommitCondition.LastIdIs(stream, at.LastId(stream)),
            2 => _ => CommitCondition.StateAbsent(key),
            3 or 4 => at => CommitCondition.StateIs(key, at.VersionOf(key)),
            _ => at => at.Pending(stream, group) is { Count: > 0 } pending && index < pending.Count
                ? CommitCondition.StillHeld(stream, group, pending[index].Consumer, new(pending[index].Id, pending[index].DeliveryCount))
                : CommitCondition.StillHeld(stream, group, consumer, new(new(1, 1), count)),
        };
    }

    private static Func<View, CommitChange> NextChange(Random random, Names names, View view)
    {
        var stream = random.Next(8) == 0 ? Pick(random, names.All) : Pick(random, names.Own);
        var key = Pick(random, names.States);
        var group = Pick(random, Groups);
        var value = $"{random.Next(1_000_000)}";
        var index = random.Next(view.Pending(stream, group).Count + 1);
        EntryId Id(View at) => IdOf(at.Pending(stream, group), index);
        switch (random.Next(12))
        {
            case 0 or 1:
                return _ => new CommitChange.Append(stream, Fields(value));
            case 2 when names.Own.Contains(stream):
                var ahead = (ulong)random.Next(4);
                return at => new CommitChange.Append(
                    stream, Fields(value), new(at.LastId(stream).Milliseconds, at.LastId(stream).Sequence + ahead));
            case 3 or 4:
                return _ => new CommitChange.PutState(key, Encoding.UTF8.GetBytes(value));
            case 5:
                // Not the document whose key may hold a stream: Redis deletes last, and so refuses to delete one and make the other.
                return _ => new CommitChange.DeleteState(names.States[0]);
            case 6 or 7:
                return at => new CommitChange.Ack(stream, group, Id(at));
            case 8:
                return at => new CommitChange.AckAndDelete(stream, group, Id(at));
            case 9 when random.Next(4) == 0:
                var consumer = Pick(random, "c1", "c2");
                return _ => new CommitChange.DeleteConsumer(stream, group, consumer);
            case 9 when random.Next(3) == 0:
                return _ => new CommitChange.Schedule(stream, Fields(value), TimeSpan.FromHours(1));
            default:
                var delay = random.Next(4) == 0 ? TimeSpan.FromHours(1) : TimeSpan.Zero;
                var deliveries = random.Next(1, 4);
                return at => new CommitChange.Release(stream, group, new(Id(at), deliveries), delay);
        }
    }

    private static Call Create(string stream, string group) =>
        new($"create {stream[15..]} {group}", async (store, _) => $"{await store.CreateGroupAsync(stream, group, GroupStart.Beginning)}");

    private static Call DestroyWhole(string stream, string group) => new($"destroy whole {stream[15..]} {group}", async (store, _) =>
    {
        var seen = (await store.GetGroupsAsync(stream)).FirstOrDefault(info => info.Name == group);
        CommitCondition[] unmoved = seen is null ? [] : [CommitCondition.GroupIs(stream, seen)];
        var result = Assert.Single(await store.CommitAsync([new() { Conditions = unmoved, Changes = [new CommitChange.DestroyGroup(stream, group)] }]));
        return $"{result.IsApplied} {result.Failure?.Code}";
    });

    private static Call Commits(IReadOnlyList<Func<View, Commit>> makers)
    {
        return new("commits", async (store, at) =>
        {
            var commits = makers.Select(make => make(at)).ToList();
            var results = await store.CommitAsync(commits);
            return string.Join('\n', results.Select((result, i) =>
            {
                var conflict = commits[i].Conditions.ToList().FindIndex(condition => ReferenceEquals(condition, result.Conflict));
                return $"{Describe(commits[i])} => {result.Ids.Count} IDs, conflict {conflict}, {result.Failure?.Code}";
            }));
        });
    }

    private static string Describe(Commit commit) => string.Join(' ', commit.Conditions.Select(c => c.GetType().Name)) + " | " +
        string.Join(' ', commit.Changes.Select(change => change switch
        {
            CommitChange.Append append => $"append {append.Stream[15..]} {append.Id} {append.Fields}",
            CommitChange.PutState put => $"put {put.Key.Name}",
            CommitChange.DeleteState delete => $"delete {delete.Key.Name}",
            CommitChange.Ack ack => $"ack {ack.Stream[15..]} {ack.Group}",
            CommitChange.AckAndDelete ack => $"ackdel {ack.Stream[15..]} {ack.Group}",
            CommitChange.Release release => $"release {release.Stream[15..]} {release.Group} {release.Entry.DeliveryCount} {release.Delay}",
            CommitChange.Schedule schedule => $"schedule {schedule.Stream[15..]}",
            _ => "?",
        }));

    private static EntryId IdOf(IReadOnlyList<PendingEntry> pending, int index) => index < pending.Count ? pending[index].Id : new(1, 1);

    private static Commit Change(CommitChange change) => new() { Changes = [change] };

    private static EntryFields Fields(string value) => EntryFields.Create(("v", value));

    private static T Pick<T>(Random random, params IReadOnlyList<T> items) => items[random.Next(items.Count)];

    private sealed record Call(string Text, Func<IStreamStore, View, Task<string>> Run);

    private sealed class Names(string tag)
    {
        public string[] Own { get; } = [$"{tag}:a", $"{tag}:b"];

        /// <summary>With private streams, and one whose key is also that of a document.</summary>
        public string[] All { get; } =
        [
            $"{tag}:a", $"{tag}:b", $"{tag}:a:again:g", $"{tag}:a:again:h", $"{tag}:b:again:g", $"{tag}:b:again:h", $"{tag}:x:state:d2",
        ];

        public StateKey[] States { get; } = [new($"{tag}:x", "d1"), new($"{tag}:x", "d2")];
    }

    // Entries of private streams get their IDs by the clock.
    [GeneratedRegex(@"sourceid=1\d{12}-\d+")]
    private static partial Regex ByClock();

    /// <summary>What a store shows. As text without what follows from its clock.</summary>
    private sealed class View
    {
        private readonly StringBuilder _text = new();
        private readonly Dictionary<(string, string), IReadOnlyList<PendingEntry>> _pending = [];
        private readonly Dictionary<string, EntryId> _last = [];
        private readonly Dictionary<StateKey, long> _versions = [];

        public IReadOnlyList<PendingEntry> Pending(string stream, string group) => _pending.GetValueOrDefault((stream, group), []);

        public EntryId LastId(string stream) => _last.GetValueOrDefault(stream);

        public long VersionOf(StateKey key) => _versions.GetValueOrDefault(key, 1);

        public override string ToString() => _text.ToString();

        public static async Task<View> ReadAsync(IStreamStore store, Names names)
        {
            var view = new View();
            foreach (var stream in names.All)
                view._text.AppendLine(await ResultAsync(() => view.ReadAsync(store, stream, names.Own.Contains(stream))));
            foreach (var key in names.States)
                view._text.AppendLine(await ResultAsync(() => view.ReadAsync(store, key)));
            return view;
        }

        private async Task<string> ReadAsync(IStreamStore store, StateKey key)
        {
            if (await store.GetStateAsync(key) is not { } document)
                return $"{key.Name} -";
            _versions[key] = document.Version;
            return $"{key.Name} {Encoding.UTF8.GetString(document.Payload.Span)}";
        }

        private async Task<string> ReadAsync(IStreamStore store, string stream, bool isOwn)
        {
            if (await store.GetStreamInfoAsync(stream) is not { } info)
                return $"{stream[15..]} -";
            _last[stream] = info.LastGeneratedId;
            var entries = (await store.RangeAsync(stream, new())).ToList();
            var text = new StringBuilder($"{stream[15..]} {info.Length} of {info.EntriesAdded} groups {info.GroupCount}\n");
            foreach (var entry in entries)
                text.AppendLine(CultureInfo.InvariantCulture, $"  {Show(entry.Id)} {ByClock().Replace($"{entry.Fields}", "sourceid=…")}");
            foreach (var group in await store.GetGroupsAsync(stream))
            {
                var pending = await store.PendingAsync(stream, group.Name, new());
                _pending[(stream, group.Name)] = pending;
                text.AppendLine(CultureInfo.InvariantCulture, $"  {group.Name} at {Show(group.LastDeliveredId)}");
                foreach (var entry in pending)
                    text.AppendLine(CultureInfo.InvariantCulture, $"    {Show(entry.Id)} {entry.Consumer} {entry.DeliveryCount}");
            }

            return text.ToString();

            string Show(EntryId id) => isOwn ? $"{id}" : $"#{entries.FindIndex(entry => entry.Id == id)}";
        }
    }
}
