using System.Collections.Frozen;
using Millrace.Streams;
using Call = System.Func<Millrace.Streams.IStreamStore, string, System.Threading.CancellationToken, System.Threading.Tasks.Task>;

namespace Millrace.Tests.Conformance;

/// <summary>
/// A call of every member of the contract, with arguments that are all right whatever the stream is. Tests of what all members have in
/// common (missing, wrong type, cancellation, a closed store) run through this list, and one test sees to it that no member is left out.
/// </summary>
internal static class StoreMember
{
    private static readonly EntryFields Fields = EntryFields.Create(("v", "x"));
    private static readonly EntryId Id = new(1, 1);

    public static FrozenDictionary<string, Call> OnStream { get; } = new Dictionary<string, Call>
    {
        [nameof(IStreamStore.AppendAsync)] = static (store, stream, token) =>
            store.AppendAsync(stream, Fields, null, token).AsTask(),
        [nameof(IStreamStore.AppendManyAsync)] = static (store, stream, token) =>
            store.AppendManyAsync(stream, [Fields], null, token).AsTask(),
        [nameof(IStreamStore.RangeAsync)] = static (store, stream, token) =>
            store.RangeAsync(stream, new(), token).AsTask(),
        [nameof(IStreamStore.ReadAsync)] = static (store, stream, token) =>
            store.ReadAsync([new(stream, default)], 1, default, token).AsTask(),
        [nameof(IStreamStore.ReadGroupAsync)] = static (store, stream, token) =>
            store.ReadGroupAsync(new() { Group = "g", Consumer = "c1", Streams = [stream] }, token).AsTask(),
        [nameof(IStreamStore.AckAsync)] = static (store, stream, token) =>
            store.AckAsync(stream, "g", [Id], token).AsTask(),
        [nameof(IStreamStore.AckAndDeleteAsync)] = static (store, stream, token) =>
            store.AckAndDeleteAsync(stream, "g", [Id], token).AsTask(),
        [nameof(IStreamStore.ExtendAsync)] = static (store, stream, token) =>
            store.ExtendAsync(stream, "g", "c1", [new(Id, 1)], token).AsTask(),
        [nameof(IStreamStore.ClaimAsync)] = static (store, stream, token) =>
            store.ClaimAsync(stream, "g", new() { Consumer = "c1", Ids = [Id], MinIdleTime = TimeSpan.Zero }, token).AsTask(),
        [nameof(IStreamStore.PendingAsync)] = static (store, stream, token) =>
            store.PendingAsync(stream, "g", new(), token).AsTask(),
        [nameof(IStreamStore.PendingSummaryAsync)] = static (store, stream, token) =>
            store.PendingSummaryAsync(stream, "g", token).AsTask(),
        [nameof(IStreamStore.DeleteAsync)] = static (store, stream, token) =>
            store.DeleteAsync(stream, [Id], token).AsTask(),
        [nameof(IStreamStore.TrimAsync)] = static (store, stream, token) =>
            store.TrimAsync(stream, StreamTrim.ToLength(0), token).AsTask(),
        [nameof(IStreamStore.DeleteStreamAsync)] = static (store, stream, token) =>
            store.DeleteStreamAsync(stream, token).AsTask(),
        [nameof(IStreamStore.CreateGroupAsync)] = static (store, stream, token) =>
            store.CreateGroupAsync(stream, "g", default, token).AsTask(),
        [nameof(IStreamStore.SetGroupAsync)] = static (store, stream, token) =>
            store.SetGroupAsync(stream, "g", default, token).AsTask(),
        [nameof(IStreamStore.DestroyGroupAsync)] = static (store, stream, token) =>
            store.DestroyGroupAsync(stream, "g", token).AsTask(),
        [nameof(IStreamStore.CreateConsumerAsync)] = static (store, stream, token) =>
            store.CreateConsumerAsync(stream, "g", "c1", token).AsTask(),
        [nameof(IStreamStore.DeleteConsumerAsync)] = static (store, stream, token) =>
            store.DeleteConsumerAsync(stream, "g", "c1", token).AsTask(),
        [nameof(IStreamStore.GetStreamInfoAsync)] = static (store, stream, token) =>
            store.GetStreamInfoAsync(stream, token).AsTask(),
        [nameof(IStreamStore.GetGroupsAsync)] = static (store, stream, token) =>
            store.GetGroupsAsync(stream, token).AsTask(),
        [nameof(IStreamStore.GetConsumersAsync)] = static (store, stream, token) =>
            store.GetConsumersAsync(stream, "g", token).AsTask(),
    }.ToFrozenDictionary();

    /// <summary>The members above and those whose keys are derived from it.</summary>
    public static FrozenDictionary<string, Call> All { get; } = new Dictionary<string, Call>(OnStream)
    {
        [nameof(IStreamStore.GetStatesAsync)] = static (store, stream, token) =>
            store.GetStatesAsync([new(stream, "d")], token).AsTask(),
        [nameof(IStreamStore.GetScheduleAsync)] = static (store, stream, token) =>
            store.GetScheduleAsync(stream, token).AsTask(),
        [nameof(IStreamStore.CommitAsync)] = static (store, stream, token) =>
            store.CommitAsync([new() { Changes = [new CommitChange.Append(stream, Fields)] }], token).AsTask(),
    }.ToFrozenDictionary();

    /// <summary>The members that need a group.</summary>
    public static string[] WithGroup { get; } =
    [
        nameof(IStreamStore.ReadGroupAsync), nameof(IStreamStore.ClaimAsync), nameof(IStreamStore.PendingAsync),
        nameof(IStreamStore.PendingSummaryAsync), nameof(IStreamStore.SetGroupAsync), nameof(IStreamStore.CreateConsumerAsync),
        nameof(IStreamStore.DeleteConsumerAsync), nameof(IStreamStore.GetConsumersAsync),
    ];
}
