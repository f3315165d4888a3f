using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Millrace.EventSourcing;
using Millrace.Streams;

namespace Millrace.Tests.EventSourcing;

public abstract partial class EventStoreTests
{
    private PersonalDataVault Vault => _host!.Host.Services.GetRequiredService<PersonalDataVault>();

    [Fact]
    public async Task Archived_stream_is_deleted_and_comes_back_under_another_name_with_all_there_was()
    {
        await Events.AppendAsync(
            _stream,
            ExpectedVersion.NoStream,
            [.. Enumerable.Range(1, 300).Select(i => new PointsEarned(i, "größer"))],
            new() { CorrelationId = "c", Headers = new Dictionary<string, string> { ["tenant"] = "7" } });
        var before = await Events.ReadAsync(_stream).ToListAsync();
        using var archive = new MemoryStream();

        var isSafe = false;
        var archived = await Events.ArchiveAsync(_stream, archive, async token =>
        {
            isSafe = true;
            Assert.Equal(300, await Events.GetVersionAsync(_stream, token));
        });
        Assert.True(isSafe);
        using var second = new MemoryStream();
        Assert.Equal(AppendOutcome.Deleted, (await Events.ArchiveAsync(_stream, second, _ => throw new InvalidOperationException("nothing to keep"))).Outcome);
        Assert.Equal(0, second.Length);
        var late = await Events.AppendAsync(_stream, ExpectedVersion.Any, [new PointsSpent(1)]);

        Assert.Equal((AppendOutcome.Appended, AppendOutcome.Deleted), (archived.Outcome, late.Outcome));
        archive.Position = 0;
        Assert.Equal(before.Select(Tell), (await Events.ReadArchiveAsync(archive).ToListAsync()).Select(Tell));
        archive.Position = 0;
        Assert.Equal(300, await Events.ImportAsync($"{_stream}-back", archive));
        Assert.Equal(before.Select(Tell), (await Events.ReadAsync($"{_stream}-back").ToListAsync()).Select(Tell));
        archive.Position = 0;
        await Assert.ThrowsAsync<InvalidOperationException>(() => Events.ImportAsync(_stream, archive).AsTask());

        static (long, object, string, DateTimeOffset, string, string?) Tell(RecordedEvent one) =>
            (one.Version, one.Event, one.Headers.MessageId, one.Headers.Time, one.Headers.CorrelationId, one.Headers["tenant"]);
    }

    [Fact]
    public async Task Import_that_was_cut_off_goes_on_where_it_was_and_one_of_other_events_is_refused()
    {
        await AppendAsync([.. Enumerable.Range(1, 200)]);
        using var archive = new MemoryStream();
        await Events.ExportAsync(_stream, archive);
        var lines = Encoding.UTF8.GetString(archive.ToArray()).Split('\n', StringSplitOptions.RemoveEmptyEntries);

        await Assert.ThrowsAsync<FormatException>(() => Events.ImportAsync($"{_stream}-back", Lines(lines.Take(130))).AsTask());
        await Assert.ThrowsAsync<FormatException>(async () => await Events.ReadArchiveAsync(Lines(lines.Take(130))).ToListAsync());
        await Assert.ThrowsAsync<FormatException>(async () => await Events.ReadArchiveAsync(Lines(lines.Where((_, i) => i != 7))).ToListAsync());
        Assert.InRange(await Events.GetVersionAsync($"{_stream}-back"), 1, 130);
        Assert.Equal(200, await Events.ImportAsync($"{_stream}-back", Lines(lines)));
        Assert.Equal(200, await Events.ImportAsync($"{_stream}-back", Lines(lines)));
        await Events.AppendAsync($"{_stream}-other", ExpectedVersion.Any, [new PointsSpent(1)]);
        await Assert.ThrowsAsync<InvalidOperationException>(() => Events.ImportAsync($"{_stream}-other", Lines(lines)).AsTask());
        var bad = await Assert.ThrowsAsync<FormatException>(() => Events.ImportAsync($"{_stream}-new", Lines([lines[0], "{\"id\":"])).AsTask());

        Assert.Contains("Line 2", bad.Message, StringComparison.Ordinal);
        Assert.Equal(200, (await Events.LoadAsync($"{_stream}-back", Points.Fold)).Version);

        static MemoryStream Lines(IEnumerable<string> lines) => new(Encoding.UTF8.GetBytes(string.Join('\n', lines)));
    }

    [Fact]
    public async Task Data_of_a_person_are_readable_until_they_are_erased_and_nowhere_in_the_stream()
    {
        var subject = $"user-{Guid.NewGuid():N}";
        var address = await Vault.ProtectAsync(subject, new Address("Ada Lovelace", "St James's Square"));
        await Events.AppendAsync(_stream, ExpectedVersion.NoStream, [new Moved(address)]);
        await using var other = await HostAsync(_store!);
        var elsewhere = other.Host.Services.GetRequiredService<PersonalDataVault>();

        var read = ((Moved)Assert.Single(await Events.ReadAsync(_stream).ToListAsync()).Event).To;
        var revealed = await elsewhere.RevealAsync(read);

        Assert.Equal(new RevealedData<Address>(false, new("Ada Lovelace", "St James's Square")), revealed);
        var entry = Assert.Single(await _store!.RangeAsync(_stream, new()));
        Assert.DoesNotContain("Lovelace", Encoding.UTF8.GetString(entry.Fields.Packed.Span), StringComparison.Ordinal);

        await Vault.EraseAsync(subject);
        await Vault.EraseAsync(subject);

        Assert.True((await Vault.RevealAsync(read)).IsErased);
        await Assert.ThrowsAsync<PersonalDataErasedException>(() => Vault.ProtectAsync(subject, "more").AsTask());
        await using var later = await HostAsync(_store!, o => o.PersonalDataCache = TimeSpan.Zero);
        Assert.True((await later.Host.Services.GetRequiredService<PersonalDataVault>().RevealAsync(read)).IsErased);
    }

    [Fact]
    public async Task Key_of_a_person_is_made_once_by_many_at_once_and_opens_no_other_persons_data()
    {
        var (subject, other) = ($"user-{Guid.NewGuid():N}", $"user-{Guid.NewGuid():N}");
        var hosts = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => HostAsync(_store!)));
        var made = await Task.WhenAll(hosts.Select((host, i) => Task.Run(() =>
            host.Host.Services.GetRequiredService<PersonalDataVault>().ProtectAsync(subject, i).AsTask())));
        foreach (var host in hosts)
            await host.DisposeAsync();

        for (var i = 0; i < made.Length; i++)
            Assert.Equal(i, (await Vault.RevealAsync(made[i])).Value);
        await Vault.ProtectAsync(other, 1);
        await Assert.ThrowsAnyAsync<CryptographicException>(() => Vault.RevealAsync(made[0] with { Subject = other }).AsTask());
        await Assert.ThrowsAnyAsync<CryptographicException>(() => Vault.RevealAsync(made[0] with { Data = "AAAA" }).AsTask());
        await Assert.ThrowsAnyAsync<CryptographicException>(() => Vault.RevealAsync(made[0] with { Data = "no Base64" }).AsTask());
        await Assert.ThrowsAnyAsync<CryptographicException>(() => Vault.RevealAsync(made[0] with { Subject = "nobody" }).AsTask());
    }
}

public sealed record Address(string Name, string Street);

[Message("user.moved")]
public sealed record Moved(PersonalData<Address> To);
