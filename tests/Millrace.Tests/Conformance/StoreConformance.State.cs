using Millrace.Streams;

namespace Millrace.Tests.Conformance;

public abstract partial class StoreConformance
{
    [Fact]
    public async Task State_that_was_put_can_be_read()
    {
        var key = NewState();
        Assert.Null(await Store.GetStateAsync(key));

        await PutAsync(key, "content");
        await ReopenAsync();

        Assert.Equal("content", await TextAsync(key));
    }

    [Fact]
    public async Task State_keeps_every_byte_and_may_be_empty_or_large()
    {
        byte[][] payloads = [[], [.. Enumerable.Range(0, 256).Select(i => (byte)i)], "\n12\n"u8.ToArray(), new byte[1024 * 1024]];
        foreach (var payload in payloads)
        {
            var key = NewState();

            await Store.CommitAsync(Change(new CommitChange.PutState(key, payload)));

            Assert.Equal(payload, (await Store.GetStateAsync(key))!.Payload.ToArray());
        }
    }

    [Fact]
    public async Task State_versions_increase_also_after_a_deletion()
    {
        var key = NewState();
        var versions = new List<long>();
        for (var i = 0; i < 4; i++)
        {
            await PutAsync(key, "same");
            versions.Add((await Store.GetStateAsync(key))!.Version);
            if (i == 1)
                await Store.CommitAsync(Change(new CommitChange.DeleteState(key)));
            if (i == 2)
                await ReopenAsync();
        }

        Assert.Equal(versions.Order().Distinct(), versions);
    }

    [Fact]
    public async Task State_versions_increase_however_fast_they_follow()
    {
        var key = NewState();
        var versions = new List<long>();
        Commit put = Change(new CommitChange.PutState(key, Utf8("x"))), delete = Change(new CommitChange.DeleteState(key));
        for (var i = 0; i < 100; i++)
        {
            await Store.CommitAsync([put, put, put, delete, put, delete]);
            await Store.CommitAsync(put);
            versions.Add((await Store.GetStateAsync(key))!.Version);
        }

        Assert.Equal(versions.Order().Distinct(), versions);
    }

    [Fact]
    public async Task State_that_was_deleted_is_gone()
    {
        var key = NewState();
        await PutAsync(key);

        var deleted = await Store.CommitAsync(Change(new CommitChange.DeleteState(key)));
        var again = await Store.CommitAsync(Change(new CommitChange.DeleteState(key)));

        Assert.True(deleted.IsApplied && again.IsApplied);
        Assert.Null(await Store.GetStateAsync(key));
    }

    [Fact]
    public async Task State_is_gone_when_its_time_to_live_is_over()
    {
        StateKey key = NewState(), lasting = NewState();
        await PutAsync(key, "short-lived", Moment);
        await PutAsync(lasting, "long-lived", TimeSpan.FromHours(1));

        await PassAsync(2 * Moment);

        Assert.Null(await Store.GetStateAsync(key));
        Assert.NotNull(await Store.GetStateAsync(lasting));
        var result = await Store.CommitAsync(new Commit
        {
            Conditions = [CommitCondition.StateAbsent(key)],
            Changes = [new CommitChange.PutState(key, Utf8("again"))],
        });
        Assert.True(result.IsApplied);
        await ReopenAsync();
        Assert.Equal("again", await TextAsync(key));
    }

    [Fact]
    public async Task State_put_without_a_time_to_live_takes_an_earlier_one_away()
    {
        var key = NewState();
        await PutAsync(key, "short-lived", Moment);
        await PutAsync(key, "for ever");

        await PassAsync(2 * Moment);

        Assert.Equal("for ever", await TextAsync(key));
    }

    [Fact]
    public async Task State_of_several_keys_comes_in_the_order_of_the_keys()
    {
        StateKey first = NewState(), missing = NewState(), second = NewState();
        await PutAsync(first, "1");
        await PutAsync(second, "2");

        var states = await Store.GetStatesAsync([second, missing, first, second]);

        Assert.Equal(["2", null, "1", "2"], states.Select(TextOf));
        Assert.Empty(await Store.GetStatesAsync([]));
    }

    [Fact]
    public async Task State_names_of_different_streams_do_not_meet()
    {
        string untagged = $"plain-{_tag}", tagged = NewStream();
        StateKey[] keys = [new(untagged, "doc"), new(tagged, "doc"), new(tagged, "doc:doc")];
        foreach (var key in keys)
            await PutAsync(key, $"{key}");

        Assert.Equal(keys.Select(key => $"{key}"), (await Store.GetStatesAsync(keys)).Select(TextOf));
    }

    [Fact]
    public async Task State_of_a_key_that_is_a_stream_is_the_wrong_type()
    {
        StateKey key = NewState(), other = NewState();
        await PutAsync(other);
        await AppendAsync(StreamNames.State(key));

        await FailsAsync(StreamErrorCode.WrongType, () => Store.GetStatesAsync([other, key]).AsTask());
    }

    private async Task<string?> TextAsync(StateKey key) => TextOf(await Store.GetStateAsync(key));

    private static string? TextOf(StateDocument? document) =>
        document is null ? null : System.Text.Encoding.UTF8.GetString(document.Payload.Span);
}
