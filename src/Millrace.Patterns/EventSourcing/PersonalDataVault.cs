using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using Millrace.Streams;

namespace Millrace.EventSourcing;

/// <summary>
/// Keeps a key for each person, with which events keep what is theirs; erasing a person is deleting the key (crypto-shredding). A singleton, for any
/// number of callers and processes.
/// </summary>
/// <remarks>
/// Keys are state documents of the stream <see cref="EventStoreOptions.PersonalData"/>. A backup of the store that is older than an erasure holds the
/// key as well as the events: keep no backup longer than an erasure may take. So does the journal of the embedded store until its next snapshot.
/// </remarks>
public sealed class PersonalDataVault
{
    private const int KeyBytes = 32;
    private const int MaxCached = 10_000;

    private readonly IStreamStore _store;
    private readonly MessageCodec _codec;
    private readonly EventStoreOptions _options;
    private readonly TimeProvider _time;
    private readonly ConcurrentDictionary<string, (byte[] Key, long Since)> _cached = new(StringComparer.Ordinal);

    internal PersonalDataVault(IStreamStore store, MessageCodec codec, EventStoreOptions options, TimeProvider time)
    {
        options.Check();
        (_store, _codec, _options, _time) = (store, codec, options, time);
    }

    /// <summary>Makes data readable for those with the person's key only. The key is made when it is the first. No round trip while it is cached.</summary>
    /// <typeparam name="T">What it is; written as JSON.</typeparam>
    /// <param name="subject">Whose: a name that says nothing by itself.</param>
    /// <param name="value">What it is.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="PersonalDataErasedException">The person was erased.</exception>
    /// <exception cref="StreamException">The store failed.</exception>
    public async ValueTask<PersonalData<T>> ProtectAsync<T>(string subject, T value, CancellationToken cancellationToken = default)
        where T : notnull
    {
        ArgumentException.ThrowIfNullOrEmpty(subject);
        var key = await FindKeyAsync(subject, cancellationToken).ConfigureAwait(false)
            ?? await MakeKeyAsync(subject, cancellationToken).ConfigureAwait(false);
        if (key.Length == 0)
            throw new PersonalDataErasedException(subject);

        var text = _codec.Serialize(value).Span;
        var data = new byte[AesGcm.NonceByteSizes.MaxSize + AesGcm.TagByteSizes.MaxSize + text.Length];
        var (nonce, tag, cipher) = Parts(data);
        RandomNumberGenerator.Fill(nonce);
        using var aes = new AesGcm(key, AesGcm.TagByteSizes.MaxSize);
        aes.Encrypt(nonce, text, cipher, tag, Encoding.UTF8.GetBytes(subject));
        return new(subject, Convert.ToBase64String(data));
    }

    /// <summary>Reads what <see cref="ProtectAsync"/> made. No round trip while the key is cached.</summary>
    /// <typeparam name="T">What it is.</typeparam>
    /// <param name="data">As it stands in the event.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="CryptographicException">The data were changed, or the person's key was lost.</exception>
    /// <exception cref="StreamException">The store failed.</exception>
    public async ValueTask<RevealedData<T>> RevealAsync<T>(PersonalData<T> data, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(data);
        var key = await FindKeyAsync(data.Subject, cancellationToken).ConfigureAwait(false)
            ?? throw new CryptographicException($"There is no key of '{data.Subject}', and they were not erased.");
        return key.Length == 0 ? new(IsErased: true, default) : new(IsErased: false, Decrypt(data, key));
    }

    /// <summary>
    /// Erases a person: deletes the key for good, so that nothing kept of them can be read any more, and nothing new be kept. Whoever used the key just
    /// now may still read for <see cref="EventStoreOptions.PersonalDataCache"/>. One round trip. May be called again.
    /// </summary>
    /// <param name="subject">The person.</param>
    /// <param name="cancellationToken">Stops the waiting; the person may still be erased.</param>
    /// <exception cref="StreamException">The store failed; call it again.</exception>
    public async ValueTask EraseAsync(string subject, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(subject);

        // An empty key stays, so that no process makes a new one.
        await _store.CommitAsync(new Commit { Changes = [new CommitChange.PutState(KeyOf(subject), default)] }, cancellationToken).ConfigureAwait(false);
        _cached.TryRemove(subject, out _);
    }

    private StateKey KeyOf(string subject) => new(_options.PersonalData, $"millrace/person/{subject}");

    /// <summary>The key; empty when the person was erased; <see langword="null"/> when there is none.</summary>
    private async ValueTask<byte[]?> FindKeyAsync(string subject, CancellationToken cancellationToken)
    {
        if (_cached.TryGetValue(subject, out var cached) && _time.GetElapsedTime(cached.Since) < _options.PersonalDataCache)
            return cached.Key;

        // By the moment it was asked, so that an erasure that comes between is not overlooked for longer than promised.
        var asked = _time.GetTimestamp();
        if (await _store.GetStateAsync(KeyOf(subject), cancellationToken).ConfigureAwait(false) is not { } document)
            return null;
        if (document.Payload.Length is not (0 or KeyBytes))
            throw new CryptographicException($"The key of '{subject}' has {document.Payload.Length} bytes, not {KeyBytes}.");
        return Cache(subject, document.Payload.ToArray(), asked);
    }

    /// <summary>Makes a key, or takes the one that somebody made meanwhile.</summary>
    private async ValueTask<byte[]> MakeKeyAsync(string subject, CancellationToken cancellationToken)
    {
        var (key, asked) = (RandomNumberGenerator.GetBytes(KeyBytes), _time.GetTimestamp());
        var commit = new Commit
        {
            Conditions = [CommitCondition.StateAbsent(KeyOf(subject))],
            Changes = [new CommitChange.PutState(KeyOf(subject), key)],
        };
        var result = await _store.CommitAsync(commit, cancellationToken).ConfigureAwait(false);
        return result.IsApplied
            ? Cache(subject, key, asked)
            : await FindKeyAsync(subject, cancellationToken).ConfigureAwait(false)
                ?? throw new StreamException(StreamErrorCode.Busy, $"The key of '{subject}' comes and goes; try again.");
    }

    private byte[] Cache(string subject, byte[] key, long asked)
    {
        if (_cached.Count >= MaxCached)
            _cached.Clear();
        _cached[subject] = (key, asked);
        return key;
    }

    private T? Decrypt<T>(PersonalData<T> data, byte[] key)
    {
        byte[] bytes;
        try
        {
            bytes = Convert.FromBase64String(data.Data);
        }
        catch (FormatException exception)
        {
            throw new CryptographicException($"The data of '{data.Subject}' are no Base64.", exception);
        }

        if (bytes.Length < AesGcm.NonceByteSizes.MaxSize + AesGcm.TagByteSizes.MaxSize)
            throw new CryptographicException($"The data of '{data.Subject}' are cut off.");
        var (nonce, tag, cipher) = Parts(bytes);
        var text = new byte[cipher.Length];
        using var aes = new AesGcm(key, AesGcm.TagByteSizes.MaxSize);
        aes.Decrypt(nonce, cipher, tag, text, Encoding.UTF8.GetBytes(data.Subject));
        return _codec.Deserialize<T>(text);
    }

    private static Envelope Parts(byte[] data) => new(data);

    /// <summary>Nonce, tag and text of <see cref="PersonalData{T}.Data"/>.</summary>
    private readonly ref struct Envelope(Span<byte> data)
    {
        private readonly Span<byte> _data = data;

        public void Deconstruct(out Span<byte> nonce, out Span<byte> tag, out Span<byte> text)
        {
            var (nonceBytes, tagBytes) = (AesGcm.NonceByteSizes.MaxSize, AesGcm.TagByteSizes.MaxSize);
            nonce = _data[..nonceBytes];
            tag = _data[nonceBytes..(nonceBytes + tagBytes)];
            text = _data[(nonceBytes + tagBytes)..];
        }
    }
}
