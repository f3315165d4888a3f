using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Millrace.EntityFrameworkCore;
using Millrace.OutboxWorker;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.EntityFrameworkCore;

/// <summary>Relays that die, and rows that the store refuses.</summary>
public abstract partial class OutboxTests
{
    /// <summary>
    /// Each relay dies a step later than the one before, and leaves to the next what it was at, with more rows on top: before and after every call of
    /// the store
    /// and every command of the database.
    /// </summary>
    [Fact]
    public async Task Relays_that_die_at_every_step_publish_every_message_once_and_in_order()
    {
        const int steps = 16;
        var writer = await HostAsync(options => options.RunsRelay = false);
        var number = 0;
        for (var step = 1; step <= steps; step++)
        {
            var dies = new DeathAtStep(step);
            await HostAsync(options => options.BatchSize = 3 + (step % 4), dies: dies);
            while (!dies.IsDead)
            {
                await WriteAsync(writer, db =>
                {
                    for (var i = 0; i < 5; i++)
                        db.Publish(_stream, new Placed(++number), new() { PartitionKey = $"{number % 2}" });
                });
                _hosts[^1].Host.Services.GetRequiredService<Outbox<ShopDb>>().Wake();
                await Task.WhenAny(dies.Died, Task.Delay(20));
            }

            await _hosts[^1].AbortAsync();
        }

        var last = await HostAsync();
        await WhenRelayedAsync();

        Assert.True(number >= steps * 5);
        Assert.Equal(Enumerable.Range(1, number), Numbers(last, await _store!.RangeAsync(_stream, new())));
    }

    [Fact]
    public async Task Row_that_cannot_be_sent_is_parked_with_its_error_and_blocks_only_its_key_until_then()
    {
        var writer = await HostAsync(options => options.RunsRelay = false);
        await WriteAsync(writer, db =>
        {
            for (var i = 0; i < 40; i++)
                db.Publish(_stream, new Placed(i), new() { PartitionKey = $"{i % 4}" });
        });
        await using (var db = _database!.Open())
        {
            // As a program would that writes the table by itself, and wrongly: the row of number 5, whose key is 1.
            var bad = await db.Outbox.OrderBy(row => row.Id).Skip(5).FirstAsync();
            await db.Outbox.Where(row => row.Id == bad.Id).ExecuteUpdateAsync(set => set.SetProperty(row => row.Fields, new byte[] { 200 }));
        }

        var host = await HostAsync(options => options.MaxAttempts = 3);
        await WhenRelayedAsync();

        await using (var db = _database.Open())
        {
            var parked = await db.Outbox.SingleAsync();
            Assert.Equal((OutboxRowState.Parked, 3), (parked.State, parked.Attempts));
            Assert.NotNull(parked.SettledAt);
            Assert.Contains("Packed fields", parked.Error, StringComparison.Ordinal);
            await db.Outbox.ExecuteUpdateAsync(set => set.SetProperty(
                row => row.Fields, host.Host.Services.GetRequiredService<MessageCodec>().Encode(new Placed(5), null).Packed.ToArray()));
        }

        var published = Numbers(host, await _store!.RangeAsync(_stream, new())).ToList();
        Assert.Equal(Enumerable.Range(0, 40).Where(i => i != 5), published.Order());
        foreach (var key in published.GroupBy(number => number % 4))
            Assert.Equal(key.Order(), key);

        var outbox = host.Host.Services.GetRequiredService<Outbox<ShopDb>>();
        Assert.Equal(new OutboxStatus(0, 1, TimeSpan.Zero), await outbox.GetStatusAsync());
        Assert.Equal(1, await outbox.RetryParkedAsync());
        Assert.Equal(5, Numbers(host, await host.ReadAsync(_stream, 40)).Last());
    }

    [Fact]
    public async Task Stream_that_is_no_stream_parks_its_rows_and_blocks_no_other()
    {
        var document = new StateKey(_stream, "taken");
        await _store!.CommitAsync(new Commit { Changes = [new CommitChange.PutState(document, "x"u8.ToArray())] });
        var host = await HostAsync(options => options.MaxAttempts = 2);
        await WriteAsync(host, db =>
        {
            for (var i = 1; i <= 6; i++)
            {
                db.Publish(StreamNames.State(document), new Placed(-i));
                db.Publish(_stream, new Placed(i));
            }
        });

        Assert.Equal(Enumerable.Range(1, 6), Numbers(host, await host.ReadAsync(_stream, 6)));
        await WhenRelayedAsync();
        await using var db = _database!.Open();
        Assert.Equal(6, await db.Outbox.CountAsync(row => row.State == OutboxRowState.Parked && row.Error!.StartsWith("WrongType")));
    }

    /// <summary>As a program could that writes the table by itself: the relay asked for the documents of all streams at once, and for ever got none.</summary>
    [Fact]
    public async Task Stream_with_a_name_that_is_none_parks_its_row_and_blocks_no_other()
    {
        var writer = await HostAsync(options => options.RunsRelay = false);
        var fields = writer.Host.Services.GetRequiredService<MessageCodec>().Encode(new Placed(0), null);
        await WriteAsync(writer, db =>
        {
            db.Outbox.Add(new("bad}", token: 1, orderKey: 1, fields.Packed.ToArray()));
            db.Publish(_stream, new Placed(1));
        });

        var host = await HostAsync(options => options.MaxAttempts = 3);
        Assert.Equal([1], Numbers(host, await host.ReadAsync(_stream)));
        await WhenRelayedAsync();
        await WriteAsync(host, db => db.Publish(_stream, new Placed(2)));

        Assert.Equal([1, 2], Numbers(host, await host.ReadAsync(_stream, 2)));
        await using var db = _database!.Open();
        var parked = await db.Outbox.SingleAsync(row => row.State == OutboxRowState.Parked);
        Assert.Equal(("bad}", 3), (parked.Stream, parked.Attempts));
        Assert.StartsWith("LimitExceeded", parked.Error, StringComparison.Ordinal);
    }

    /// <summary>As one whose document the user of the store may not read.</summary>
    [Fact]
    public async Task Stream_whose_document_cannot_be_read_parks_its_rows_and_blocks_no_other()
    {
        var bad = $"{_stream}-bad";
        var host = await HostAsync(options => options.MaxAttempts = 2);
        var fields = host.Host.Services.GetRequiredService<MessageCodec>().Encode(new Placed(0), null);
        await _store!.CommitAsync(new Commit { Changes = [new CommitChange.Append(StreamNames.State(OutboxNames.Memory(_stream, bad)), fields)] });
        await WriteAsync(host, db =>
        {
            for (var i = 1; i <= 3; i++)
            {
                db.Publish(bad, new Placed(-i));
                db.Publish(_stream, new Placed(i));
            }
        });

        Assert.Equal([1, 2, 3], Numbers(host, await host.ReadAsync(_stream, 3)));
        await WhenRelayedAsync();
        await using var db = _database!.Open();
        Assert.Equal(3, await db.Outbox.CountAsync(row => row.State == OutboxRowState.Parked && row.Error!.StartsWith("WrongType")));
    }

    [Fact]
    public async Task Store_that_is_away_refuses_nothing_and_gets_all_when_it_is_back()
    {
        var away = true;
        var line = FaultyStore.Wrap(_store!, member => member == nameof(IStreamStore.CommitAsync) && Volatile.Read(ref away)
            ? FaultyStore.Fault.Before
            : FaultyStore.Fault.None);
        var real = _store!;
        _store = line;
        var host = await HostAsync(options => (options.MaxAttempts, options.RetryMaxDelay) = (1, TimeSpan.FromMilliseconds(20)));
        _store = real;
        await WriteAsync(host, db => db.Publish(_stream, new Placed(1)));
        await WriteAsync(host, db => db.Publish(_stream, new Placed(2)));
        var outbox = host.Host.Services.GetRequiredService<Outbox<ShopDb>>();
        Assert.Equal((2, 0), ((await outbox.GetStatusAsync()) is var status ? (status.Waiting, status.Parked) : default));

        Volatile.Write(ref away, false);

        Assert.Equal([1, 2], Numbers(host, await host.ReadAsync(_stream, 2)));
    }

    /// <summary>What the application can know at once it is told at once, and not by a row that is parked.</summary>
    [Fact]
    public async Task Message_that_the_store_would_refuse_is_refused_by_the_call()
    {
        var host = await HostAsync();
        await using var scope = host.Host.Services.CreateAsyncScope();
        var db = scope.ServiceProvider.GetRequiredService<ShopDb>();

        Assert.Throws<ArgumentException>(() => db.Publish("st{ray", new Placed(1)));
        Assert.ThrowsAny<ArgumentException>(() => db.Publish(_stream, new Placed(1), new() { Delay = TimeSpan.FromDays(5_000) }));
        Assert.ThrowsAny<ArgumentException>(() => db.Publish(_stream, new Placed(1, new string('x', StreamLimits.MaxEntryBytes))));
        Assert.Throws<InvalidOperationException>(() => db.Publish(_stream, new Order { Name = "no message" }));
        await using var other = _database!.Open();
        Assert.Throws<InvalidOperationException>(() => other.Publish(_stream, new Placed(1)));
    }
}
